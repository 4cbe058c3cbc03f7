//! What Prometheus' API answers, as far as it can be judged.

use super::native::NativeHistogram;
use super::preset::Labels;
use crate::rollout::sample::Dark;
use serde::Deserialize;
use std::borrow::Cow;

/// One series of an instant vector.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Series<'a> {
    #[serde(borrow)]
    pub(crate) metric: Labels<'a>,
    #[serde(borrow, default)]
    value: Option<(f64, Cow<'a, str>)>,
    #[serde(borrow, default)]
    histogram: Option<(f64, NativeHistogram<'a>)>,
}

impl<'a> Series<'a> {
    /// A series with these labels that says this at no instant in particular.
    pub(crate) fn saying(metric: Labels<'a>, number: f64) -> Self {
        Self {
            metric,
            value: Some((0.0, number.to_string().into())),
            histogram: None,
        }
    }

    /// What it says at another instant.
    pub(crate) fn say(&mut self, (at, said): (f64, Said<'a>)) {
        (self.value, self.histogram) = match said {
            Said::Number(text) => (Some((at, text)), None),
            Said::Histogram(histogram) => (None, Some((at, histogram))),
        };
    }

    /// Its value; NaN when it is no number at all.
    pub(crate) fn number(&self) -> f64 {
        let value = self.value.as_ref().and_then(|(_, text)| text.parse().ok());
        value.unwrap_or(f64::NAN)
    }

    /// The native histogram that it is instead of a value.
    pub(crate) fn histogram(&self) -> Option<&NativeHistogram<'a>> {
        self.histogram.as_ref().map(|(_, histogram)| histogram)
    }
}

/// One series of a range: what it said at many instants, in order; where it said nothing there is no entry.
#[derive(Debug, Deserialize)]
pub(crate) struct Recorded<'a> {
    #[serde(borrow)]
    pub(crate) metric: Labels<'a>,
    /// Seconds since 1970, and the number that it said then.
    #[serde(borrow, default)]
    pub(crate) values: Vec<(f64, Cow<'a, str>)>,
    /// The same of a native histogram.
    #[serde(borrow, default)]
    pub(crate) histograms: Vec<(f64, NativeHistogram<'a>)>,
}

/// What a series says at an instant.
#[derive(Clone, Debug)]
pub(crate) enum Said<'a> {
    /// A number, as text.
    Number(Cow<'a, str>),
    /// A native histogram.
    Histogram(NativeHistogram<'a>),
}

impl<'a> Recorded<'a> {
    /// Its labels, and all that it said, in order.
    pub(crate) fn told(self) -> (Labels<'a>, Vec<(f64, Said<'a>)>) {
        let numbers = self.values.into_iter();
        let numbers = numbers.map(|(at, text)| (at, Said::Number(text)));
        let histograms = self.histograms.into_iter();
        let histograms = histograms.map(|(at, histogram)| (at, Said::Histogram(histogram)));
        let mut all: Vec<_> = numbers.chain(histograms).collect();
        // One that was a number first and is a histogram now comes in two rows.
        all.sort_by(|(one, _), (two, _)| one.total_cmp(two));
        (self.metric, all)
    }
}

/// How a note begins that says nothing against an answer.
const NOTE: &str = "PromQL info:";

/// The library's own result type drops `warnings` and `isPartial`, and they decide whether this is data.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    status: Cow<'a, str>,
    #[serde(borrow, default)]
    data: Option<Data<'a>>,
    #[serde(default)]
    error_type: Option<Cow<'a, str>>,
    #[serde(default)]
    error: Option<Cow<'a, str>>,
    #[serde(default)]
    warnings: Option<Vec<Cow<'a, str>>>,
    /// `VictoriaMetrics` says it so.
    #[serde(default)]
    is_partial: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    result_type: Cow<'a, str>,
    #[serde(borrow, default)]
    result: Option<&'a serde_json::value::RawValue>,
}

/// Why an answer is no data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unusable {
    pub(crate) kind: Dark,
    pub(crate) why: String,
}

fn unusable(kind: Dark, why: impl Into<String>) -> Unusable {
    Unusable {
        kind,
        why: why.into(),
    }
}

/// Reads an answer. Whatever is not a whole instant vector is no data, but for a scalar: that is one number, too.
pub(crate) fn read(http_status: u16, body: &[u8]) -> Result<Vec<Series<'_>>, Unusable> {
    let (found, result) = result(http_status, body, &["vector", "scalar"])?;
    if found == "scalar" {
        let value = serde_json::from_str(result)
            .map_err(|_| unusable(Dark::NotANumber, "a scalar that is not a plain number"))?;
        return Ok(vec![Series {
            metric: Labels::default(),
            value: Some(value),
            histogram: None,
        }]);
    }
    serde_json::from_str(result)
        .map_err(|_| unusable(Dark::NotANumber, "a vector whose values are not plain numbers"))
}

/// Reads the answer to a question about a range. Whatever is not a whole matrix is no data.
pub(crate) fn read_range(http_status: u16, body: &[u8]) -> Result<Vec<Recorded<'_>>, Unusable> {
    let (_, result) = result(http_status, body, &["matrix"])?;
    serde_json::from_str(result)
        .map_err(|_| unusable(Dark::NotANumber, "a matrix whose values are not plain numbers"))
}

/// The result of an answer, when it is whole and of one of these types, and which.
fn result<'a>(
    http_status: u16,
    body: &'a [u8],
    wanted: &[&'static str],
) -> Result<(&'static str, &'a str), Unusable> {
    if matches!(http_status, 401 | 403) {
        let why = format!("HTTP {http_status}: check the token, the password or the headers of the settings");
        return Err(unusable(Dark::Refused, why));
    }
    let answer: Answer<'_> = serde_json::from_slice(body).map_err(|_| {
        // Prometheus says so in plain text while it reads its log after a start, and proxies do when it is gone.
        let hint = if http_status >= 500 {
            "it is starting, overloaded or gone, or a proxy before it cannot reach it: look at its log"
        } else {
            "this is not Prometheus' API: check the endpoint's address and path"
        };
        unusable(
            Dark::Down,
            format!("HTTP {http_status}, not the JSON of an answer; {hint}"),
        )
    })?;
    if answer.status != "success" {
        return Err(failure(http_status, &answer));
    }
    // Prometheus before 3 put its notes among the warnings, like the one that a counter's name should end in _total.
    let mut warnings = answer.warnings.iter().flatten();
    if let Some(warning) = warnings.find(|text| !text.starts_with(NOTE)) {
        return Err(unusable(Dark::Partial, format!("a warning: {}", brief(warning))));
    }
    if answer.is_partial {
        return Err(unusable(Dark::Partial, "it calls its answer partial"));
    }
    let data = answer
        .data
        .ok_or_else(|| unusable(Dark::Down, "a success without data"))?;
    let Some(found) = wanted.iter().find(|wanted| data.result_type == **wanted) else {
        let wanted = wanted.first().copied().unwrap_or_default();
        let why = format!(
            "a {} instead of a {wanted}: a query gives one number, not a text and not a range",
            brief(&data.result_type)
        );
        // An answer all the same: it is the question that is wrong, and no other endpoint would say more.
        return Err(unusable(Dark::NotANumber, why));
    };
    Ok((found, data.result.map_or("[]", |raw| raw.get())))
}

fn failure(http_status: u16, answer: &Answer<'_>) -> Unusable {
    let kind = match answer.error_type.as_deref() {
        Some("bad_data" | "execution" | "not_found") => Dark::Refused,
        // VictoriaMetrics names the type of an error by its status.
        Some("400" | "422") | None if http_status == 400 || http_status == 422 => Dark::Refused,
        Some(_) | None => Dark::Down,
    };
    let error = answer.error.as_deref().unwrap_or("no reason given");
    unusable(kind, format!("HTTP {http_status}: {}", brief(error)))
}

/// Characters of what Prometheus says.
const SAID: usize = 200;

/// Foreign text, cut to what a status can hold and freed of control characters.
pub(crate) fn brief(text: &str) -> String {
    let mut plain = text.chars().filter(|c| !c.is_control());
    let mut said: String = plain.by_ref().take(SAID).collect();
    if plain.next().is_some() {
        said.push('…');
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(status: u16, body: &str) -> Dark {
        read(status, body.as_bytes()).unwrap_err().kind
    }

    #[test]
    fn a_warning_makes_a_success_partial() {
        let body =
            r#"{"status":"success","data":{"resultType":"vector","result":[]},"warnings":["store down"]}"#;
        assert_eq!(kind(200, body), Dark::Partial);
        let body = r#"{"status":"success","isPartial":true,"data":{"resultType":"vector","result":[]}}"#;
        assert_eq!(kind(200, body), Dark::Partial);
    }

    #[test]
    fn informational_notes_are_no_warnings() {
        let note = "PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \"x\" (1:10)";
        let noted = |more: &str| {
            let warnings = serde_json::json!([note, more]);
            format!(
                r#"{{"status":"success","data":{{"resultType":"vector","result":[]}},"warnings":{warnings}}}"#
            )
        };
        assert!(read(200, noted(note).as_bytes()).unwrap().is_empty());
        let Err(partial) = read(200, noted("store down").as_bytes()) else {
            panic!("a warning beside a note is a warning");
        };
        assert!(partial.why.contains("store down"), "{}", partial.why);
        let body =
            r#"{"status":"success","data":{"resultType":"vector","result":[]},"infos":["x"],"warnings":[]}"#;
        assert!(read(200, body.as_bytes()).unwrap().is_empty());
        let body = r#"{"status":"success","data":{"resultType":"vector","result":[]},"warnings":null}"#;
        assert!(read(200, body.as_bytes()).unwrap().is_empty());
    }

    #[test]
    fn a_scalar_is_one_number_and_a_text_or_a_range_is_none() {
        let body = r#"{"status":"success","data":{"resultType":"scalar","result":[1767578400,"3"]}}"#;
        let read = read(200, body.as_bytes()).unwrap();
        assert!(matches!(read.as_slice(), [one] if (one.number() - 3.0).abs() < 1e-9));
        for other in ["string", "matrix"] {
            let body = format!(r#"{{"status":"success","data":{{"resultType":"{other}","result":[]}}}}"#);
            assert_eq!(kind(200, &body), Dark::NotANumber);
        }
    }

    #[test]
    fn a_refused_question_is_told_from_a_source_that_is_down() {
        assert_eq!(kind(401, "<html>"), Dark::Refused);
        assert_eq!(kind(403, ""), Dark::Refused);
        assert_eq!(
            kind(
                400,
                r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#
            ),
            Dark::Refused
        );
        assert_eq!(
            kind(
                422,
                r#"{"status":"error","errorType":"execution","error":"too many samples"}"#
            ),
            Dark::Refused
        );
        for victoria in ["400", "422"] {
            let body = format!(r#"{{"status":"error","errorType":"{victoria}","error":"cannot parse"}}"#);
            assert_eq!(kind(victoria.parse().unwrap(), &body), Dark::Refused);
        }
        assert_eq!(
            kind(
                503,
                r#"{"status":"error","errorType":"timeout","error":"timed out"}"#
            ),
            Dark::Down
        );
        assert_eq!(kind(502, "<html>bad gateway</html>"), Dark::Down);
        assert_eq!(kind(200, "<html>welcome</html>"), Dark::Down);
        assert_eq!(kind(404, "404 page not found"), Dark::Down);
    }

    #[test]
    fn values_are_read_as_numbers_even_when_they_are_none() {
        let body = r#"{"status":"success","data":{"resultType":"vector","result":[
            {"metric":{"pod":"a"},"value":[1.5,"40"]},{"metric":{},"value":[1.5,"NaN"]},
            {"metric":{},"value":[1.5,"+Inf"]},{"metric":{},"value":[1.5,"forty"]}]}}"#;
        let numbers: Vec<f64> = read(200, body.as_bytes())
            .unwrap()
            .iter()
            .map(Series::number)
            .collect();
        assert!((numbers[0] - 40.0).abs() < f64::EPSILON);
        assert!(numbers[1].is_nan() && numbers[2].is_infinite() && numbers[3].is_nan());
    }

    #[test]
    fn a_native_histogram_is_no_number() {
        let body = r#"{"status":"success","data":{"resultType":"vector","result":[
            {"metric":{},"histogram":[1.5,{"count":"1","sum":"2","buckets":[[0,"1","2","1"]]}]}]}}"#;
        let series = read(200, body.as_bytes()).unwrap();
        assert!(series[0].number().is_nan() && series[0].histogram().is_some());
        let body = body.replace("histogram", "history");
        let neither = read(200, body.as_bytes()).unwrap();
        assert!(neither[0].number().is_nan() && neither[0].histogram().is_none());
        let body = body.replace("history", "histogram").replace("[1.5,{", "[1.5,7,{");
        assert_eq!(kind(200, &body), Dark::NotANumber);
    }
}
