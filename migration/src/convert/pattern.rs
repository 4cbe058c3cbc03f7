//! nginx's regular expressions as Envoy's.
//!
//! In nginx a location is `~* "^PATH"`, a search; a rewrite is `rewrite "(?i)PATH" TARGET`, a search that replaces the
//! whole path. In Envoy both match the whole path. Only what means the same to PCRE and to RE2 passes.

use crate::report::Code;
use regex_syntax::ast::{
    self, AssertionKind, Ast, ClassPerlKind, ClassSet, ClassSetItem, Flag, Flags, FlagsItemKind, GroupKind,
    HexLiteralKind, LiteralKind, RepetitionKind, RepetitionRange,
};
use regex_syntax::hir::{Hir, HirKind};

/// Istio takes no longer ones.
pub(crate) const LONGEST: usize = 1024;

/// RE2 takes no more repetitions, nested ones multiplied.
const REPETITIONS: u32 = 1000;

/// Why a pattern cannot be said in RE2, with the part that is to blame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unfit {
    pub code: Code,
    pub detail: String,
}

impl Unfit {
    fn new(detail: impl Into<String>) -> Self {
        Self {
            code: Code::PathPcre,
            detail: detail.into(),
        }
    }
}

/// A path that is a regular expression and means the same to both.
#[derive(Clone, Debug)]
pub(super) struct Pattern<'a> {
    path: &'a str,
    branches: Vec<&'a str>,
    groups: usize,
    /// What may be sent in other ways too, in its order.
    spellings: Vec<Spelling>,
    /// Whether it asks for the borders of words, which octets move.
    bordered: bool,
}

/// A part of a path, by its bytes, and what takes it in every way in which it may be sent.
#[derive(Clone, Debug)]
struct Spelling {
    start: usize,
    end: usize,
    text: String,
}

/// Any octet as it is sent encoded.
const OCTET: &str = "%[0-9A-Fa-f]{2}";

impl<'a> Pattern<'a> {
    /// Checks a path.
    pub(super) fn new(path: &'a str) -> Result<Self, Unfit> {
        let ast = ast::parse::Parser::new()
            .parse(path)
            .map_err(|error| Unfit::new(format!("{}", error.kind())))?;
        let mut check = Check {
            path,
            groups: 0,
            spellings: Vec::new(),
            bordered: false,
        };
        check.node(&ast, 1)?;
        let branches = if let Ast::Alternation(all) = &ast {
            let part = |ast: &Ast| path.get(ast.span().start.offset..ast.span().end.offset);
            all.asts.iter().map(|ast| part(ast).unwrap_or_default()).collect()
        } else {
            vec![path]
        };
        Ok(Self {
            path,
            branches,
            groups: check.groups,
            spellings: check.spellings,
            bordered: check.bordered,
        })
    }

    /// The whole-path match that takes what nginx's location takes: only the first branch is anchored.
    pub(super) fn location(&self) -> Result<String, Unfit> {
        short(format!("(?i)(?:{}).*", self.branches.join("|.*")))
    }

    /// The same in every way in which a path may be sent; that may take more than nginx's location does.
    pub(super) fn spelled(&self) -> Result<String, Unfit> {
        if self.bordered {
            return Err(Unfit::new("the border of a word"));
        }
        let mut branches = Vec::new();
        let mut start = 0;
        for branch in &self.branches {
            let end = start + branch.len();
            let mut text = String::new();
            let mut at = start;
            for spelling in self.spellings.iter().filter(|s| s.start >= start && s.end <= end) {
                text.push_str(self.path.get(at..spelling.start).unwrap_or_default());
                text.push_str(&spelling.text);
                at = spelling.end;
            }
            text.push_str(self.path.get(at..end).unwrap_or_default());
            // A bar stands between two branches.
            start = end + 1;
            branches.push(text);
        }
        short(format!("(?i)(?:{}).*", branches.join("|.*")))
    }

    /// The whole-path match that finds what nginx's rewrite finds: the leftmost, with its captures.
    pub(super) fn rewrite(&self) -> Result<String, Unfit> {
        short(format!("^.*?(?i:{}).*$", self.path))
    }

    /// Whether a capture always takes part and begins with a slash.
    pub(super) fn is_rooted(&self, capture: u32) -> bool {
        regex_syntax::parse(self.path).is_ok_and(|hir| rooted(&hir, capture))
    }

    /// How many captures it has.
    pub(super) fn groups(&self) -> usize {
        self.groups
    }
}

/// Alternations and repetitions may leave a capture out, so nothing below them counts.
fn rooted(hir: &Hir, number: u32) -> bool {
    match hir.kind() {
        HirKind::Capture(capture) if capture.index == number => slashed(&capture.sub),
        HirKind::Capture(capture) => rooted(&capture.sub, number),
        HirKind::Concat(parts) => parts.iter().any(|part| rooted(part, number)),
        HirKind::Empty
        | HirKind::Literal(_)
        | HirKind::Class(_)
        | HirKind::Look(_)
        | HirKind::Repetition(_)
        | HirKind::Alternation(_) => false,
    }
}

fn slashed(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Literal(literal) => literal.0.first() == Some(&b'/'),
        HirKind::Capture(capture) => slashed(&capture.sub),
        HirKind::Concat(parts) => parts.first().is_some_and(slashed),
        HirKind::Empty
        | HirKind::Class(_)
        | HirKind::Look(_)
        | HirKind::Repetition(_)
        | HirKind::Alternation(_) => false,
    }
}

fn short(pattern: String) -> Result<String, Unfit> {
    if pattern.len() > LONGEST {
        return Err(Unfit {
            code: Code::RegexLong,
            detail: format!("{} characters", pattern.len()),
        });
    }
    Ok(pattern)
}

struct Check<'a> {
    path: &'a str,
    groups: usize,
    spellings: Vec<Spelling>,
    bordered: bool,
}

impl Check<'_> {
    fn text(&self, span: &ast::Span) -> String {
        self.path
            .get(span.start.offset..span.end.offset)
            .unwrap_or_default()
            .to_owned()
    }

    fn refuse(&self, span: &ast::Span) -> Result<(), Unfit> {
        Err(Unfit::new(format!("{:?}", self.text(span))))
    }

    /// Walks down; `times` is how often everything here may be repeated.
    fn node(&mut self, ast: &Ast, times: u32) -> Result<(), Unfit> {
        match ast {
            Ast::Empty(_) => Ok(()),
            Ast::Dot(span) => {
                self.spell_class(span);
                Ok(())
            }
            Ast::ClassPerl(class) => {
                // Letters, digits and the underscore are decoded by Envoy too.
                if class.negated || class.kind == ClassPerlKind::Space {
                    self.spell_class(&class.span);
                }
                Ok(())
            }
            Ast::Flags(set) => self.flags(&set.flags),
            Ast::Literal(literal) => {
                self.spell(&literal.span, &super::closing::spelled(literal.c));
                self.literal(literal)?;
                self.sent_plainly(literal)
            }
            Ast::Assertion(assertion) if same_everywhere(&assertion.kind) => {
                self.bordered |= matches!(
                    assertion.kind,
                    AssertionKind::WordBoundary | AssertionKind::NotWordBoundary
                );
                Ok(())
            }
            Ast::Assertion(assertion) => self.refuse(&assertion.span),
            Ast::ClassUnicode(class) => self.refuse(&class.span),
            Ast::ClassBracketed(class) => match &class.kind {
                ClassSet::Item(item) => {
                    self.spell_class(&class.span);
                    self.class(item)
                }
                ClassSet::BinaryOp(operation) => self.refuse(&operation.span),
            },
            Ast::Repetition(repetition) => {
                let written = self.text(&repetition.op.span);
                // `a*+` is possessive to PCRE, twice repeated here, and an error to RE2; `{,3}` is text to RE2.
                let doubled = matches!(&*repetition.ast, Ast::Repetition(_));
                if doubled || written.starts_with("{,") || written.contains(' ') {
                    return self.refuse(&repetition.span);
                }
                let most = match &repetition.op.kind {
                    RepetitionKind::Range(
                        RepetitionRange::Exactly(n)
                        | RepetitionRange::AtLeast(n)
                        | RepetitionRange::Bounded(_, n),
                    ) => (*n).max(1),
                    RepetitionKind::ZeroOrOne | RepetitionKind::ZeroOrMore | RepetitionKind::OneOrMore => 1,
                };
                let times = times.saturating_mul(most);
                if times > REPETITIONS {
                    return self.refuse(&repetition.span);
                }
                self.node(&repetition.ast, times)
            }
            Ast::Group(group) => {
                match &group.kind {
                    GroupKind::CaptureIndex(_) => self.groups += 1,
                    GroupKind::CaptureName { .. } => return self.refuse(&group.span),
                    GroupKind::NonCapturing(flags) => self.flags(flags)?,
                }
                self.node(&group.ast, times)
            }
            Ast::Alternation(all) => all.asts.iter().try_for_each(|ast| self.node(ast, times)),
            Ast::Concat(all) => all.asts.iter().try_for_each(|ast| self.node(ast, times)),
        }
    }

    /// One character of a class may be sent as an octet, and a slash as several.
    fn spell_class(&mut self, span: &ast::Span) {
        let class = self.text(span);
        self.spell(span, &format!("(?:{class}|{OCTET}|{})", super::closing::SLASHES));
    }

    fn spell(&mut self, span: &ast::Span, text: &str) {
        self.spellings.push(Spelling {
            start: span.start.offset,
            end: span.end.offset,
            text: format!("(?:{text})"),
        });
    }

    /// `i` and `s` mean the same to everyone; the others do not, or have no use in a path.
    fn flags(&self, flags: &Flags) -> Result<(), Unfit> {
        let fine = |kind: &FlagsItemKind| {
            matches!(
                kind,
                FlagsItemKind::Negation
                    | FlagsItemKind::Flag(Flag::CaseInsensitive | Flag::DotMatchesNewLine)
            )
        };
        if flags.items.iter().all(|item| fine(&item.kind)) {
            Ok(())
        } else {
            self.refuse(&flags.span)
        }
    }

    fn literal(&self, literal: &ast::Literal) -> Result<(), Unfit> {
        let same = matches!(
            literal.kind,
            LiteralKind::Verbatim
                | LiteralKind::Meta
                | LiteralKind::Superfluous
                | LiteralKind::HexFixed(HexLiteralKind::X)
                | LiteralKind::HexBrace(HexLiteralKind::X)
                | LiteralKind::Special(_)
        );
        if same { Ok(()) } else { self.refuse(&literal.span) }
    }

    fn sent_plainly(&self, literal: &ast::Literal) -> Result<(), Unfit> {
        if sent_plainly(literal.c) {
            return Ok(());
        }
        Err(Unfit {
            code: Code::PathEncoding,
            detail: format!("{:?}", self.text(&literal.span)),
        })
    }

    fn class(&self, item: &ClassSetItem) -> Result<(), Unfit> {
        match item {
            ClassSetItem::Empty(_) | ClassSetItem::Ascii(_) | ClassSetItem::Perl(_) => Ok(()),
            ClassSetItem::Literal(literal) => self.class_literal(literal),
            ClassSetItem::Range(range) => {
                self.class_literal(&range.start)?;
                self.class_literal(&range.end)
            }
            ClassSetItem::Unicode(class) => self.refuse(&class.span),
            // `[a[b]` is a class and a bracket to PCRE and RE2, a class within a class here.
            ClassSetItem::Bracketed(class) => self.refuse(&class.span),
            ClassSetItem::Union(union) => union.items.iter().try_for_each(|item| self.class(item)),
        }
    }

    fn class_literal(&self, literal: &ast::Literal) -> Result<(), Unfit> {
        if literal.c.is_ascii() {
            self.literal(literal)
        } else {
            self.refuse(&literal.span)
        }
    }
}

fn same_everywhere(kind: &AssertionKind) -> bool {
    matches!(
        kind,
        AssertionKind::StartLine
            | AssertionKind::EndLine
            | AssertionKind::StartText
            | AssertionKind::EndText
            | AssertionKind::WordBoundary
            | AssertionKind::NotWordBoundary
    )
}

/// Whether a character of a path reaches the proxy as it is (RFC 3986, `pchar` and the slash).
pub(super) fn sent_plainly(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@/".contains(c)
}

/// nginx's target as Envoy's substitution, or why there is none. Captures that the pattern does not have are empty.
pub(super) fn substitution(target: &str, groups: usize) -> Result<String, String> {
    let mut chars = target.chars().peekable();
    let starts_with_capture =
        target.starts_with('$') && target.chars().nth(1).is_some_and(|c| c.is_ascii_digit());
    if !target.starts_with('/') && !starts_with_capture {
        return Err("it begins with neither a slash nor a capture".to_owned());
    }
    let mut text = String::new();
    while let Some(c) = chars.next() {
        match c {
            // nginx reads one digit only: `$10` is `$1` and a zero, as `\10` is to RE2.
            '$' => match chars.next().and_then(|c| c.to_digit(10)) {
                Some(digit @ 1..=9) if digit as usize <= groups => {
                    text.push('\\');
                    text.push_str(&digit.to_string());
                }
                Some(1..=9) => {}
                _ => return Err("it has a variable".to_owned()),
            },
            '\\' => text.push_str("\\\\"),
            '?' => return Err("it has a query".to_owned()),
            c if sent_plainly(c) => text.push(c),
            c => return Err(format!("it has {c:?}, which is sent encoded")),
        }
    }
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
