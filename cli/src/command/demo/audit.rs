//! Judges what two containers wrote at the same time. Pure: text in, findings out.

use std::collections::BTreeSet;

/// Length of a log line without its line feed, in bytes.
const LINE_BYTES: usize = 64;

/// What became of the lines that two writers appended to one file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LogAudit {
    /// Lines that are whole and expected.
    pub(super) whole: u64,
    /// Expected lines that are not there.
    pub(super) lost: u64,
    /// Lines that are no line of either writer.
    pub(super) torn: u64,
    /// Lines that are there again.
    pub(super) doubled: u64,
    /// Lines before one that the same writer wrote earlier.
    pub(super) disordered: u64,
    /// How often the writer changes from one line to the next.
    pub(super) switches: u64,
}

impl LogAudit {
    /// Whether all is as it must be.
    pub(super) const fn is_clean(self) -> bool {
        self.lost + self.torn + self.doubled + self.disordered == 0
    }
}

/// A shell loop that appends `lines` lines of `writer` to `file`, each with an open and a write.
pub(super) fn append_script(writer: char, lines: u32, file: &str) -> String {
    let filler = ".".repeat(LINE_BYTES - 10);
    format!(
        "i=0; while [ $i -lt {lines} ]; do i=$((i+1)); printf '{writer} %06d {filler}|\\n' $i >> {file} || exit 1; done"
    )
}

fn parse(line: &str) -> Option<(char, u32)> {
    let filler = line.get(9..LINE_BYTES - 1)?;
    let well_formed = line.len() == LINE_BYTES && line.ends_with('|') && filler.bytes().all(|byte| byte == b'.');
    let mut words = line.split(' ');
    let (writer, number) = (words.next()?, words.next()?);
    let writer = writer.chars().next().filter(|_| writer.len() == 1)?;
    number.parse().ok().filter(|_| well_formed).map(|number| (writer, number))
}

/// Judges a log to which each of `writers` appended lines 1 to `lines`.
pub(super) fn audit_log(log: &str, writers: [char; 2], lines: u32) -> LogAudit {
    let mut audit = LogAudit::default();
    let mut seen = BTreeSet::new();
    let (mut last, mut newest) = (None, [0; 2]);
    for line in log.split_terminator('\n') {
        let known = parse(line).and_then(|(writer, number)| {
            let at = writers.iter().position(|known| *known == writer)?;
            (1..=lines).contains(&number).then_some((at, number))
        });
        let Some((at, number)) = known else {
            audit.torn += 1;
            continue;
        };
        if !seen.insert((at, number)) {
            audit.doubled += 1;
            continue;
        }
        audit.whole += 1;
        audit.disordered += u64::from(number < newest[at]);
        newest[at] = newest[at].max(number);
        audit.switches += u64::from(last.is_some_and(|last| last != at));
        last = Some(at);
    }
    audit.lost = u64::from(lines) * 2 - audit.whole;
    audit
}

/// What became of a counter that two containers raised under a lock, each turn noted in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TurnsAudit {
    /// Turns in a row from 1 that were noted, each with the figure after the one before.
    pub(super) in_order: u64,
    /// Turns noted.
    pub(super) noted: u64,
    /// How often the lock went to the other host.
    pub(super) switches: u64,
}

/// A shell loop that takes `turns` turns under the lock: read the counter, raise it, note it.
pub(super) fn turns_script(writer: char, turns: u32, directory: &str) -> String {
    format!(
        "cd {directory} && i=0; while [ $i -lt {turns} ]; do i=$((i+1)); flock lock sh -c \
        'read n < counter; n=$((n+1)); echo $n > counter; echo {writer} $n >> turns' || exit 1; done"
    )
}

/// Judges the notes: `WRITER FIGURE` a line.
pub(super) fn audit_turns(notes: &str) -> TurnsAudit {
    let mut audit = TurnsAudit { in_order: 0, noted: 0, switches: 0 };
    let mut last = "";
    for line in notes.lines() {
        audit.noted += 1;
        let Some((writer, figure)) = line.split_once(' ') else { continue };
        if figure.parse() == Ok(audit.in_order + 1) {
            audit.in_order += 1;
        }
        audit.switches += u64::from(!last.is_empty() && last != writer);
        last = writer;
    }
    audit
}

#[cfg(test)]
mod tests;
