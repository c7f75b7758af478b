//! Tables for people, and the same figures for programs.

use anyhow::Result;
use serde_json::{Map, Value, json};

/// One line of a table: what it is called, and what was measured, in order.
pub(crate) type Line = Vec<(&'static str, f64)>;

/// All figures so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    lines: Vec<(String, Line)>,
}

impl Report {
    /// Takes a line up, and prints it: with its heads, if it is the first of its table.
    pub(crate) fn add(&mut self, table: &str, line: Line) {
        if self.lines.last().is_none_or(|(last, _)| last != table) {
            let heads: Vec<&str> = line.iter().map(|(head, _)| *head).collect();
            println!("\n{table}\n\n| {} |\n|{}", heads.join(" | "), "---:|".repeat(heads.len()));
        }
        let cells: Vec<String> = line.iter().map(|(_, figure)| shown(*figure)).collect();
        println!("| {} |", cells.join(" | "));
        self.lines.push((table.to_owned(), line));
    }

    /// A list of objects, each with its table.
    ///
    /// # Errors
    /// A figure that is no number.
    pub(crate) fn json(&self) -> Result<String> {
        let object = |(table, line): &(String, Line)| {
            let mut object = Map::new();
            object.insert("table".to_owned(), json!(table));
            object.extend(line.iter().map(|(head, figure)| ((*head).to_owned(), json!(figure))));
            Value::Object(object)
        };
        Ok(serde_json::to_string_pretty(&self.lines.iter().map(object).collect::<Vec<_>>())? + "\n")
    }
}

/// Three digits that count, and thousands set apart.
fn shown(figure: f64) -> String {
    if figure.abs() < 10.0 && figure.fract() != 0.0 {
        return format!("{figure:.2}");
    }
    if figure.abs() < 100.0 && figure.fract() != 0.0 {
        return format!("{figure:.1}");
    }
    let digits = format!("{figure:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 && digit.is_ascii_digit() {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
