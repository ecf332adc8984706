//! Metrics as Prometheus reads them, from its own text format or from OpenMetrics.

use std::collections::BTreeMap;

/// All samples of one answer.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    samples: Vec<Sample>,
    text: String,
}

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Its name, with suffixes as `_total` or `_bucket`.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

impl Metrics {
    /// Reads a page of metrics; a line that Prometheus would not take fails the test.
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let samples =
            lines.map(|line| sample(line).unwrap_or_else(|| panic!("not a sample: {line}"))).collect();
        Self { samples, text: text.to_owned() }
    }

    /// The samples of a name that carry at least these labels.
    pub fn with<'a>(&'a self, name: &'a str, labels: &'a [(&str, &str)]) -> impl Iterator<Item = &'a Sample> {
        self.samples.iter().filter(move |sample| {
            let carries =
                |(label, value): &(&str, &str)| sample.labels.get(*label).is_some_and(|found| found == value);
            sample.name == name && labels.iter().all(carries)
        })
    }

    /// Their sum; 0 when there is none, as counters are not shown before they count.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.with(name, labels).map(|sample| sample.value).sum()
    }

    /// The value of the one sample that fits; `None` when there is none.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let mut found = self.with(name, labels);
        let first = found.next()?;
        assert_eq!(found.next(), None, "{name} {labels:?} is not one sample");
        Some(first.value)
    }

    /// All samples.
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// The page itself.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// `NAME{LABEL="VALUE",…} NUMBER`, perhaps followed by a time or an exemplar.
fn sample(line: &str) -> Option<Sample> {
    let end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (BTreeMap::new(), rest),
    };
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample { name: name.to_owned(), labels, value })
}

/// The labels up to the closing brace, and what follows it.
fn labels(mut rest: &str) -> Option<(BTreeMap<String, String>, &str)> {
    let mut labels = BTreeMap::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (name, after) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut characters = after.char_indices();
        rest = loop {
            match characters.next()? {
                (at, '"') => break &after[at + 1..],
                (_, '\\') => value.push(match characters.next()?.1 {
                    'n' => '\n',
                    other => other,
                }),
                (_, other) => value.push(other),
            }
        };
        labels.insert(name.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r#"# HELP opened_total Values.
# TYPE opened_total counter
opened_total{namespace="a",reason="x,y} \"q\"\n"} 2
opened_total{namespace="b",reason=""} 3.5 1700000000
up 1
seconds_bucket{le="+Inf"} 7 # {trace="abc"} 0.1
limit +Inf
# EOF
"#;

    #[test]
    fn samples_are_found_by_name_and_labels() {
        let metrics = Metrics::parse(PAGE);
        assert_eq!(metrics.samples().len(), 5);
        assert!((metrics.sum("opened_total", &[]) - 5.5).abs() < f64::EPSILON);
        assert_eq!(metrics.value("opened_total", &[("namespace", "b")]), Some(3.5));
        assert_eq!(metrics.value("opened_total", &[("namespace", "c")]), None);
        assert_eq!(metrics.value("up", &[]), Some(1.0));
        assert_eq!(metrics.value("seconds_bucket", &[("le", "+Inf")]), Some(7.0));
        assert_eq!(metrics.value("limit", &[]), Some(f64::INFINITY));
        assert_eq!(metrics.samples()[0].labels["reason"], "x,y} \"q\"\n");
    }

    #[test]
    #[should_panic(expected = "not a sample")]
    fn what_is_no_sample_fails() {
        Metrics::parse("some_total{namespace=\"a\" 1\n");
    }
}
