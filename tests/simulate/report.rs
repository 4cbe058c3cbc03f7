//! What was found, as Markdown and as plots.

use std::fmt::Write as _;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 44.0;
const COLOURS: [&str; 7] = [
    "#1f6feb", "#d1242f", "#1a7f37", "#9a6700", "#8250df", "#bc4c00", "#57606a",
];

/// An axis: its title, where it begins and ends, its ticks, and whether it is logarithmic.
pub(crate) struct Axis<'a> {
    pub(crate) title: &'a str,
    pub(crate) ends: [f64; 2],
    pub(crate) ticks: &'a [f64],
    pub(crate) log: bool,
}

impl Axis<'_> {
    /// 0 at the beginning, 1 at the end.
    fn at(&self, value: f64) -> f64 {
        let [low, high] = self.ends;
        let share = if self.log {
            (value / low).ln() / (high / low).ln()
        } else {
            (value - low) / (high - low)
        };
        share.clamp(0.0, 1.0)
    }
}

/// A line of points, with its name.
pub(crate) struct Curve {
    pub(crate) name: String,
    pub(crate) points: Vec<[f64; 2]>,
}

/// A plot as SVG. `line`: a horizontal line with its name.
pub(crate) fn plot(
    title: &str,
    x: &Axis<'_>,
    y: &Axis<'_>,
    curves: &[Curve],
    line: Option<(f64, &str)>,
) -> String {
    let right = WIDTH - RIGHT;
    let bottom = HEIGHT - BOTTOM;
    let px = |v: f64| LEFT + x.at(v) * (right - LEFT);
    let py = |v: f64| bottom - y.at(v) * (bottom - TOP);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"18\" font-size=\"13\">{title}</text>\n"
    );
    for tick in x.ticks {
        let at = px(*tick);
        let _ = writeln!(
            svg,
            "<path d=\"M{at:.1} {TOP}V{bottom}\" stroke=\"#eee\"/><text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{tick}</text>",
            bottom + 14.0
        );
    }
    for tick in y.ticks {
        let at = py(*tick);
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT} {at:.1}H{right}\" stroke=\"#eee\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{tick}</text>",
            LEFT - 5.0,
            at + 4.0
        );
    }
    let _ = writeln!(
        svg,
        "<path d=\"M{LEFT} {TOP}V{bottom}H{right}\" fill=\"none\" stroke=\"#333\"/>"
    );
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
        f64::midpoint(LEFT, right),
        HEIGHT - 10.0,
        x.title
    );
    let _ = writeln!(
        svg,
        "<text x=\"12\" y=\"{:.1}\" text-anchor=\"middle\" transform=\"rotate(-90 12 {:.1})\">{}</text>",
        f64::midpoint(TOP, bottom),
        f64::midpoint(TOP, bottom),
        y.title
    );
    if let Some((value, name)) = line {
        let at = py(value);
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT} {at:.1}H{right}\" stroke=\"#d1242f\" stroke-dasharray=\"5 4\"/><text x=\"{right}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#d1242f\">{name}</text>",
            at - 4.0
        );
    }
    for (n, (curve, colour)) in curves.iter().zip(COLOURS.iter().cycle()).enumerate() {
        let points: Vec<String> = curve
            .points
            .iter()
            .map(|[a, b]| format!("{:.1},{:.1}", px(*a), py(*b)))
            .collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.8\"/>",
            points.join(" ")
        );
        #[expect(clippy::cast_precision_loss, reason = "a handful")]
        let y = bottom - 10.0 - 14.0 * (curves.len() - 1 - n) as f64;
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{y:.1}\" text-anchor=\"end\" fill=\"{colour}\">{}</text>",
            right - 6.0,
            curve.name
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// A table.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let head: Vec<String> = head.iter().map(|&h| h.to_owned()).collect();
    let rule = vec!["---".to_owned(); head.len()];
    let mut text = line(&head) + &line(&rule).replace(' ', "");
    for row in rows {
        text.push_str(&line(row));
    }
    text
}

/// Puts text between two marks of a page.
pub(crate) fn between(page: &str, name: &str, text: &str) -> Option<String> {
    let (begin, end) = (
        format!("<!-- {name}: begin -->\n"),
        format!("<!-- {name}: end -->"),
    );
    let (before, rest) = page.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}{text}{end}{after}"))
}
