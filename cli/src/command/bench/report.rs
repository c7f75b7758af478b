//! The result of a run, as a table and as JSON.

use std::time::Duration;

use holdfast_core::size::ByteSize;
use serde::Serialize;

use super::figure::{Figure, ratio};
use super::place::Description;
use super::rows::Row;
use crate::output::figures::{micros, number};
use crate::output::table::{Align, Table};

/// A run, or two beside each other.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    measured: Description,
    quick: bool,
    beside: Option<Description>,
    rows: Vec<RowReport>,
}

#[derive(Debug, Serialize)]
struct RowReport {
    row: &'static str,
    what: &'static str,
    #[serde(flatten)]
    figures: Figures,
    /// The same of the directory beside.
    beside: Option<Figures>,
    /// How many times as fast as beside.
    ratio: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Figures {
    unit: &'static str,
    count: u64,
    per_second: Option<f64>,
    bytes_per_second: Option<f64>,
    p50_us: Option<f64>,
    p99_us: Option<f64>,
    max_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lost: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unseen: Option<u64>,
}

impl Figures {
    fn new(row: Row, figure: &Figure) -> Self {
        let micros = |time: Option<Duration>| time.map(|time| time.as_secs_f64() * 1e6);
        Self {
            unit: row.unit(),
            count: figure.count,
            per_second: row.has_rate().then_some(figure.rate),
            bytes_per_second: row.has_bytes().then_some(figure.bytes_per_second),
            p50_us: micros(figure.p50),
            p99_us: micros(figure.p99),
            max_us: micros(figure.max),
            lost: (row == Row::Counter).then_some(figure.lost),
            unseen: (!row.has_rate()).then_some(figure.unseen),
        }
    }

    fn rate(&self) -> String {
        self.per_second.map_or_else(String::new, |rate| format!("{} {}/s", number(rate), self.unit))
    }

    fn bytes(&self) -> String {
        self.bytes_per_second.map_or_else(String::new, |rate| number(rate / 1e6))
    }

    /// What stands for the whole row.
    fn short(&self) -> String {
        if self.per_second.is_some() { self.rate() } else { cell(self.p50_us) }
    }

    fn remark(&self) -> String {
        match (self.lost, self.unseen) {
            (Some(0), _) => "none lost".to_owned(),
            (Some(lost), _) => format!("LOST {lost} of {}", self.count),
            (_, Some(unseen)) if unseen > 0 => format!("{unseen} never seen"),
            _ => String::new(),
        }
    }
}

impl Report {
    pub(super) fn new(
        measured: Description,
        quick: bool,
        rows: &[Row],
        figures: Vec<(Row, Figure)>,
        beside: Option<(Description, Vec<(Row, Figure)>)>,
    ) -> Self {
        let find = |all: &[(Row, Figure)], row: Row| all.iter().find(|(of, _)| *of == row).map(|(_, f)| f.clone());
        let (beside, others) = beside.unzip();
        let rows = rows.iter().filter_map(|row| {
            let figure = find(&figures, *row)?;
            let other = others.as_deref().and_then(|others| find(others, *row));
            Some(RowReport {
                row: row.name(),
                what: row.what(),
                figures: Figures::new(*row, &figure),
                ratio: other.as_ref().and_then(|other| ratio(*row, &figure, other)),
                beside: other.map(|other| Figures::new(*row, &other)),
            })
        });
        Self { rows: rows.collect(), measured, quick, beside }
    }

    /// Steps of the counter that are missing in the directory that was measured.
    pub(super) fn lost(&self) -> u64 {
        self.rows.iter().filter_map(|row| row.figures.lost).sum()
    }
}

impl crate::output::Report for Report {
    fn text(&self) -> String {
        let mut columns = vec![
            ("ROW", Align::Left),
            ("RATE", Align::Right),
            ("MB/S", Align::Right),
            ("P50", Align::Right),
            ("P99", Align::Right),
        ];
        if self.beside.is_some() {
            columns.extend([("BESIDE", Align::Right), ("RATIO", Align::Right)]);
        }
        columns.push(("", Align::Left));
        let mut table = Table::new(&columns);
        for row in &self.rows {
            let own = &row.figures;
            let mut cells = vec![row.row.to_owned(), own.rate(), own.bytes(), cell(own.p50_us), cell(own.p99_us)];
            if self.beside.is_some() {
                let beside = row.beside.as_ref().map_or_else(String::new, Figures::short);
                cells.extend([beside, row.ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"))]);
            }
            let remark = own.remark();
            cells.push(if remark.is_empty() { row.what.to_owned() } else { format!("{} ({remark})", row.what) });
            table.row(cells);
        }
        let mut text = described("measured", &self.measured);
        if let Some(beside) = &self.beside {
            text.push_str(&described("beside", beside));
        }
        format!("{text}\n{}", table.text(0))
    }
}

fn cell(time_us: Option<f64>) -> String {
    time_us.map_or_else(String::new, micros)
}

fn described(word: &str, place: &Description) -> String {
    let second = place.second.as_ref().map_or_else(String::new, |dir| format!(" and {}", dir.display()));
    let cut = if place.cut { "; less than usual, since little is free" } else { "" };
    format!(
        "{word}: {}{second} ({} on {}; a file of {}, {} small ones{cut})\n",
        place.directory.display(),
        place.file_system,
        place.source,
        ByteSize(place.large_bytes),
        place.files
    )
}
