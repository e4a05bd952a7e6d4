//! One column of samples out of several.

use super::{
    super::codec::{Damage, Samples},
    rows::RowMap,
};

const ABSENT: u8 = 0;
const PRESENT: u8 = 1;
const RESET: u8 = 2;

/// Memory that is used again for each column.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    one: Samples,
    merged: Samples,
    values: Vec<f64>,
    states: Vec<u8>,
}

impl Scratch {
    /// Begins a column of so many rows.
    pub(super) fn begin(&mut self, rows: usize) {
        self.values.clear();
        self.values.resize(rows, 0.0);
        self.states.clear();
        self.states.resize(rows, ABSENT);
    }

    /// Takes the column of a source.
    pub(super) fn take(
        &mut self,
        body: &[u8],
        rows: usize,
        count: usize,
        map: &RowMap,
    ) -> Result<(), Damage> {
        self.one.decode(body, rows, count)?;
        if let (RowMap::From(first), [all]) = (map, self.one.present.as_slice()) {
            let (start, end) = (first + all.start, first + all.end);
            self.values[start..end].copy_from_slice(&self.one.values);
            self.states[start..end].fill(PRESENT);
            for reset in &self.one.resets {
                self.states[first + reset] = RESET;
            }
            return Ok(());
        }
        for (row, value, reset) in self.one.iter() {
            if let Some(at) = map.of(row) {
                self.values[at] = value;
                self.states[at] = if reset { RESET } else { PRESENT };
            }
        }
        Ok(())
    }

    /// The merged column.
    pub(super) fn finish(&mut self) -> &Samples {
        self.merged.clear();
        if !self.states.is_empty() && self.states.iter().all(|state| *state == PRESENT) {
            self.merged.present.push(0..self.states.len());
            self.merged.values.extend_from_slice(&self.values);
            return &self.merged;
        }
        for (row, (value, state)) in self.values.iter().zip(&self.states).enumerate() {
            if *state != ABSENT {
                self.merged.push(row, *value, *state == RESET);
            }
        }
        &self.merged
    }
}
