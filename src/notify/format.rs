//! The forms that receivers understand. Pure.

use super::message::Message;
use aws_lc_rs::hmac;
use serde::Deserialize;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Whose form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The message's own JSON, one at a time.
    #[default]
    Webhook,
    /// An incoming webhook of Slack, or of what speaks like it (Mattermost, Rocket.Chat).
    Slack,
    /// A custom robot of a `DingTalk` group.
    DingTalk,
}

impl Kind {
    /// How many messages go into one request: chats allow few requests, programs want one message each.
    pub(super) const fn at_once(self) -> usize {
        match self {
            Self::Webhook => 1,
            Self::Slack | Self::DingTalk => 20,
        }
    }

    /// The body of a request. `link` is filled in already.
    pub(super) fn body(self, messages: &[Message]) -> Value {
        match self {
            Self::Webhook => messages
                .first()
                .and_then(|message| serde_json::to_value(message).ok())
                .unwrap_or_default(),
            Self::Slack => json!({"text": lines(messages, slack, |link| format!(" <{}|look>", slack(link)))}),
            Self::DingTalk => json!({
                "msgtype": "text",
                "text": {"content": format!("gradual-rollout\n{}", lines(messages, str::to_owned, |link| format!(" {link}")))},
            }),
        }
    }

    /// Why an answer means that the message was not taken; `None`: it was. Chats that say 200 to everything say it in
    /// the body.
    pub(super) fn refusal(self, success: bool, status: u16, body: &[u8]) -> Option<String> {
        if !success {
            return Some(format!("status {status}"));
        }
        if self != Self::DingTalk {
            return None;
        }
        let said: Value = serde_json::from_slice(body).unwrap_or_default();
        match said.get("errcode").and_then(Value::as_i64) {
            Some(0) => None,
            Some(code) => {
                let why = said.get("errmsg").and_then(Value::as_str).unwrap_or_default();
                let why: String = why.chars().filter(|c| !c.is_control()).take(120).collect();
                Some(format!("errcode {code}: {why}"))
            }
            None => Some("no answer of a DingTalk robot".to_owned()),
        }
    }
}

fn lines(messages: &[Message], plain: impl Fn(&str) -> String, link: impl Fn(&str) -> String) -> String {
    let line = |message: &Message| {
        let link = message.link.as_deref().map(&link).unwrap_or_default();
        format!("{}{link}", plain(&message.line()))
    };
    messages.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Slack reads `<!channel>` and its like as commands; escaped they are text.
fn slack(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// The query parameters by which a `DingTalk` robot knows us: `timestamp=…&sign=…`, the time in milliseconds, the sign
/// the Base64 of the HMAC-SHA256 of time stamp, line feed and secret, by the secret.
pub fn dingtalk_signature(secret: &str, millis: i64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, format!("{millis}\n{secret}").as_bytes());
    let mut sign = String::new();
    for byte in base64(tag.as_ref()).bytes() {
        if byte.is_ascii_alphanumeric() {
            sign.push(char::from(byte));
        } else {
            // Writing to a string never fails.
            let _ = write!(sign, "%{byte:02X}");
        }
    }
    format!("timestamp={millis}&sign={sign}")
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |i: usize| chunk.get(i).copied().map_or(0, u32::from);
        let group = (byte(0) << 16) | (byte(1) << 8) | byte(2);
        for place in 0..4 {
            let digit = DIGITS.get(((group >> (18 - 6 * place)) & 63) as usize);
            text.push(match digit {
                Some(digit) if place <= chunk.len() => char::from(*digit),
                _ => '=',
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::message::example;
    use super::*;

    #[test]
    fn a_dingtalk_robot_is_shown_the_signature_that_its_documentation_computes() {
        // printf '1577262236757\nSECabc123' | openssl dgst -sha256 -hmac SECabc123 -binary | base64, then escaped
        assert_eq!(dingtalk_signature("SECabc123", 1_577_262_236_757), SIGNED);
    }

    #[test]
    fn foreign_text_commands_nobody_in_a_chat() {
        let text = Kind::Slack.body(&[example("k")])["text"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(text.contains("&lt;!channel&gt; &amp; more"), "{text}");
        let text = Kind::DingTalk.body(&[example("k")]);
        assert!(text.get("at").is_none(), "{text}");
        assert!(
            text["text"]["content"]
                .as_str()
                .unwrap()
                .starts_with("gradual-rollout\n"),
            "{text}"
        );
    }

    #[test]
    fn a_link_is_told_and_several_messages_are_several_lines() {
        let mut one = example("k");
        one.link = Some("https://r.example.com/?a=1&b=2".into());
        let slack = Kind::Slack.body(&[one.clone(), one.clone()]);
        let text = slack["text"].as_str().unwrap();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(
            text.contains("<https://r.example.com/?a=1&amp;b=2|look>"),
            "{text}"
        );
        assert_eq!(
            Kind::Webhook.body(&[one])["link"],
            "https://r.example.com/?a=1&b=2"
        );
    }

    #[test]
    fn a_robot_that_says_200_and_an_error_has_not_taken_the_message() {
        let said = |body: &str| Kind::DingTalk.refusal(true, 200, body.as_bytes());
        assert_eq!(said(r#"{"errcode":0,"errmsg":"ok"}"#), None);
        assert_eq!(
            said(r#"{"errcode":310000,"errmsg":"sign not match"}"#).as_deref(),
            Some("errcode 310000: sign not match")
        );
        assert!(said("<html>").is_some());
        assert_eq!(Kind::Slack.refusal(true, 200, b"ok"), None);
        assert_eq!(
            Kind::Slack.refusal(false, 404, b"").as_deref(),
            Some("status 404")
        );
    }

    const SIGNED: &str = "timestamp=1577262236757&sign=sP2tUmwYDrLqnFjDuYnBJi0Od0TLi424Z2c6qlTmCao%3D";
}
