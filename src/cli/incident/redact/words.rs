//! Secrets that people write as they speak: "the token is …", `-p …`, `curl -u user:…`.

use super::GONE;

/// What secrets are called in a sentence.
const NOUNS: [&str; 16] = [
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "pwd",
    "pw",
    "secret",
    "token",
    "credential",
    "creds",
    "apikey",
    "api-key",
    "api_key",
    "jwt",
    "bearer",
    "otp",
];
/// The same of several, behind which they only stand where it is said that they are.
const PLURALS: [&str; 4] = ["passwords", "secrets", "tokens", "credentials"];
/// The same where they are said in Chinese: nothing stands between them and what they are but these.
const NOUNS_ZH: [&str; 8] = ["密码", "密碼", "口令", "令牌", "密钥", "密鑰", "凭证", "凭据"];
const BETWEEN_ZH: [char; 14] = [
    '是', '为', '為', '：', ':', '=', '＝', ' ', '“', '"', '「', '叫', '\'', '\t',
];
/// What stands between such a noun and what it is.
const ARE: [&str; 8] = ["is", "was", "are", "were", "=", ":", "->", "=>"];
/// So many words behind a noun it may be said what it is.
const NEAR: usize = 6;
/// Words that are said of secrets, and are none.
const PLAIN: &str = " a about absent accepted again all already also an appear appears and any are as at auth authentication authorization \
    auto-mounted be because been come comes before behind below beside both bucket but by can cannot changed check checks correct could \
    denied did do does each either else empty false endpoint endpoints error errors every exchange expired expires failed fails field \
    file files for forbidden form found from given gone good had has have he header headers here how i if in incorrect instead invalid is \
    it its itself key keys kept known leaked length limit login lost manager may missing mount mounted must my name named names \
    needed needs never new no nobody none nor not nothing now null of off old on once one only or other our out page path policy \
    present prompt read reads ref reference refresh refused rejected request requests required reset response review reviews \
    right rotated server service set she should so some somebody source stale still store such than that the their them then \
    there they this to too true twice type under unknown unset until used user users valid value values volume was we were what when \
    where which while who whose will with within without works worked working would wrong yet you your ever go goes hold holds less more pass passes put route routes say says send sent share \
    shares stay stays through weight ";
/// Programs to which a password is given behind `-p`, with nothing in between.
const ATTACHED: [&str; 5] = ["mysql", "mysqldump", "mysqladmin", "mariadb", "sshpass"];

/// A text without them. Names, weights and all that is no secret's neighbour stay.
pub(super) fn without(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut context = Context::default();
    let mut quoted = false;
    for piece in text.split_inclusive(|c: char| c.is_whitespace() || c == '"') {
        let word = piece.trim_end_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\\'));
        // In JSON another text begins.
        if quoted && piece.starts_with([':', ',', '}', ']']) {
            context = Context::default();
        }
        quoted = piece.ends_with('"');
        if word.is_empty() {
            out.push_str(piece);
        } else {
            out.push_str(&context.next(word));
            out.push_str(&piece[word.len()..]);
        }
        if piece.ends_with('\n') {
            context = Context::default();
        }
    }
    chinese(&out)
}

/// What stood before a word.
#[derive(Default)]
struct Context {
    /// How many words ago a secret was named, and whether the word before says what it is.
    named: Option<(usize, bool)>,
    /// Whether that may have been the kind of an object.
    kind: bool,
    flag: Option<String>,
    attached: bool,
}

impl Context {
    fn next(&mut self, word: &str) -> String {
        let flag = self.flag.take();
        if let Some(shown) = flag.as_deref().and_then(|flag| behind_flag(flag, word)) {
            self.named = None;
            return shown;
        }
        self.attached |= ATTACHED.iter().any(|name| word.rsplit('/').next() == Some(name));
        if let Some(shown) = flag_with(word, self.attached) {
            return shown;
        }
        if is_short_flag(word) {
            self.flag = Some(word.to_owned());
            return word.to_owned();
        }
        self.said(word)
    }

    fn said(&mut self, word: &str) -> String {
        let (before, core, after) = parts(word);
        let lower = core.to_ascii_lowercase();
        let is = ARE.contains(&word) || ARE.contains(&lower.as_str());
        let stated = is || word.ends_with(':') || word.ends_with('=');
        let several = PLURALS.contains(&lower.as_str());
        if several || NOUNS.contains(&lower.as_str()) {
            // Behind a comma the sentence goes on with something else.
            let apart = several || after.contains([',', ';', '.', ')', '?', '!']);
            self.named = Some((usize::from(apart && !stated), stated));
            self.kind = core == "Secret";
            return word.to_owned();
        }
        let Some((far, close)) = self.named else {
            return word.to_owned();
        };
        let direct = far == 0 || close;
        if far == 0 && self.kind && is_object(core) {
            self.named = None;
            return word.to_owned();
        }
        let nothing = !core.contains(char::is_alphanumeric);
        let ordinary =
            is || nothing && !close || PLAIN.contains(&format!(" {lower} ")) || word.contains(GONE);
        // A sentence is over, and so is what was said in it.
        let over = far + 1 >= NEAR || after.contains(['.', ';', '!', '?']);
        if direct && !ordinary {
            self.named = None;
            return format!("{before}{GONE}{after}");
        }
        self.named = (!over).then_some((far + 1, stated));
        word.to_owned()
    }
}

/// A word without what stands around it.
fn parts(word: &str) -> (&str, &str, &str) {
    let around = |c: char| {
        matches!(
            c,
            '"' | '\''
                | '`'
                | '('
                | ')'
                | '['
                | ']'
                | '{'
                | '}'
                | '<'
                | '>'
                | ','
                | '.'
                | ';'
                | ':'
                | '!'
                | '?'
                | '“'
                | '”'
                | '\\'
        )
    };
    let core = word.trim_start_matches(around);
    let before = &word[..word.len() - core.len()];
    let trimmed = core.trim_end_matches(around);
    (before, trimmed, &core[trimmed.len()..])
}

/// Whether it is an option behind which a password stands, or a user and a password.
pub(super) fn is_short_flag(word: &str) -> bool {
    matches!(word, "-p" | "-P" | "-u" | "-U" | "--user" | "--proxy-user")
}

/// What is shown of a word that stands behind such an option; `None`: all of it.
pub(super) fn behind_flag(flag: &str, word: &str) -> Option<String> {
    match flag {
        "-p" | "-P" => {
            (!is_weight(word) && !word.starts_with('-') && !word.contains(GONE)).then(|| GONE.to_owned())
        }
        _ => {
            let (user, secret) = word.split_once(':')?;
            (!secret.is_empty() && !secret.starts_with("//")).then(|| format!("{user}:{GONE}"))
        }
    }
}

/// What is shown of an option with its value; `None`: all of it, or it is none.
fn flag_with(word: &str, attached: bool) -> Option<String> {
    for flag in ["--user", "--proxy-user", "-u"] {
        let value = word.strip_prefix(flag).filter(|value| !value.is_empty());
        if let Some(value) = value.filter(|value| flag == "-u" || value.starts_with('=')) {
            let (user, secret) = value.split_once(':')?;
            return (!secret.is_empty()).then(|| format!("{flag}{user}:{GONE}"));
        }
    }
    let value = word.strip_prefix("-p").filter(|value| !value.is_empty())?;
    let plain = value.trim_start_matches('=');
    // Other options begin like it: those are of small letters.
    let name = value.split('=').next().unwrap_or(value);
    let odd = name.is_empty()
        || attached
        || !name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b"-_.".contains(&b));
    (odd && !is_weight(plain)).then(|| format!("-p{GONE}"))
}

/// Whether it is a share of traffic, as this program is given one with the same option.
fn is_weight(word: &str) -> bool {
    word.trim_end_matches('%')
        .parse::<f64>()
        .is_ok_and(|share| (0.0..=100.0).contains(&share))
}

/// Whether it is how an object is told: its name of small letters, or its namespace and its name.
fn is_object(word: &str) -> bool {
    let legal = |b: u8| b.is_ascii_lowercase() || b"-.".contains(&b);
    let parts = word.split('/').count();
    let more = |b: u8| parts == 2 && (b.is_ascii_digit() || b == b'/');
    parts < 3 && word.bytes().all(|b| legal(b) || more(b))
}

fn chinese(text: &str) -> String {
    if text.is_ascii() {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| NOUNS_ZH.iter().any(|noun| noun.starts_with(c))) {
        let (before, behind) = rest.split_at(at);
        out.push_str(before);
        let noun = NOUNS_ZH.iter().find(|noun| behind.starts_with(**noun));
        let first = behind.chars().next().map_or(0, char::len_utf8);
        let (said, after) = behind.split_at(noun.map_or(first, |noun| noun.len()));
        out.push_str(said);
        rest = after;
        if noun.is_none() {
            continue;
        }
        let value = after.trim_start_matches(BETWEEN_ZH);
        let end = value.find(|c: char| !c.is_ascii_graphic() || matches!(c, '"' | ','));
        let end = end.unwrap_or(value.len());
        if end > 0 && !value.starts_with(GONE) {
            out.push_str(&after[..after.len() - value.len()]);
            out.push_str(GONE);
            rest = &value[end..];
        }
    }
    out.push_str(rest);
    out
}
