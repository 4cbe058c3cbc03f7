//! `validate FILE…`: is this a plan that can be applied?

use super::exit::{Exit, Failure};
use super::manifest::{self, Manifest};
use super::table;
use std::io::{Read as _, Write};
use std::path::{Path, PathBuf};

/// Larger files are surely a mistake: the API server takes 1.5 MB.
const MAX_BYTES: u64 = 4 << 20;

/// Reads a file, or the standard input for `-`.
pub(super) fn read_text(path: &Path) -> Result<(String, String), Failure> {
    let name = path.display().to_string();
    let (name, read) = if name == "-" {
        ("standard input".to_owned(), read_all(std::io::stdin()))
    } else {
        (name, std::fs::File::open(path).and_then(read_all))
    };
    match read {
        Ok(text) => Ok((name, text)),
        Err(error) => Err(Failure::usage(format!("unable to read {name}: {error}"))),
    }
}

fn read_all(source: impl std::io::Read) -> std::io::Result<String> {
    let mut text = String::new();
    source.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(std::io::Error::other(format!(
            "it has more than {MAX_BYTES} bytes"
        )));
    }
    Ok(text)
}

/// Checks every rollout of every file and tells all problems.
pub(super) fn run(files: &[PathBuf], out: &mut dyn Write) -> Result<Exit, Failure> {
    let mut broken = false;
    for path in files {
        let (name, text) = read_text(path)?;
        let mut rollouts = 0;
        for manifest in manifest::read(&name, &text) {
            match manifest {
                Manifest::Rollout(rollout, plan) => {
                    rollouts += 1;
                    let rollout = rollout.metadata.name.unwrap_or_default();
                    let steps: usize = plan.components.iter().map(|c| c.steps.len()).max().unwrap_or(0);
                    let components = plan.components.len();
                    let line = format!(
                        "{name}: {rollout} is valid: {components} components, {} phases, up to {steps} steps",
                        plan.phases.len()
                    );
                    writeln!(out, "{}", table::plain(&line))?;
                }
                Manifest::Other(kind) => {
                    writeln!(
                        out,
                        "{}",
                        table::plain(&format!(
                            "{name}: {kind} left alone: only GradualRollouts are checked"
                        ))
                    )?;
                }
                Manifest::Broken(problems) => {
                    rollouts += 1;
                    broken = true;
                    for problem in problems {
                        writeln!(out, "{}", table::plain(&problem.to_string()))?;
                    }
                }
            }
        }
        if rollouts == 0 {
            broken = true;
            writeln!(
                out,
                "{}",
                table::plain(&format!("{name}: holds no GradualRollout"))
            )?;
        }
    }
    if broken {
        return Err(Failure::usage(
            "not valid: nothing was written; correct what is named above",
        ));
    }
    Ok(Exit::Done)
}
