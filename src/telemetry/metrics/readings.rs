//! What is read at the moment in which somebody asks.

use std::collections::HashMap;

use super::{Kind, Metric};

/// Values of gauges, and of counters that others keep.
#[derive(Debug, Default)]
pub struct Readings(HashMap<Metric, Vec<Sample>>);

/// One value with the values of its labels.
#[derive(Debug)]
pub(super) struct Sample {
    pub labels: Vec<(&'static str, String)>,
    pub value: f64,
}

impl Readings {
    /// Notes a value. There must be as many values of labels as the catalogue names labels.
    pub fn note(&mut self, metric: Metric, values: &[&str], value: f64) {
        let definition = metric.definition();
        debug_assert_eq!(definition.labels.len(), values.len(), "{metric:?}");
        debug_assert_ne!(definition.kind, Kind::Histogram, "{metric:?}");
        let labels = definition.labels.iter().copied();
        let values = values.iter().map(|&value| value.to_owned());
        let labels = labels.zip(values).collect();
        let samples = self.0.entry(metric).or_default();
        samples.push(Sample { labels, value });
    }

    /// Notes a number of things.
    #[expect(clippy::cast_precision_loss, reason = "nobody counts to 2^53 here")]
    pub fn number(&mut self, metric: Metric, values: &[&str], number: u64) {
        self.note(metric, values, number as f64);
    }

    /// Notes a size.
    pub fn size(&mut self, metric: Metric, values: &[&str], size: usize) {
        self.number(metric, values, u64::try_from(size).unwrap_or(u64::MAX));
    }

    /// Notes 1 for yes and 0 for no.
    pub fn flag(&mut self, metric: Metric, values: &[&str], yes: bool) {
        self.note(metric, values, f64::from(u8::from(yes)));
    }

    /// What was noted under this name.
    pub(super) fn of(&self, metric: Metric) -> &[Sample] {
        self.0.get(&metric).map_or(&[], Vec::as_slice)
    }
}
