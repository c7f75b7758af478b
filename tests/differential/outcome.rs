//! What a call answered, as facts that two file systems can be compared by.

use std::fmt::{self, Display, Formatter};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use nix::errno::Errno;

/// Contents up to this length are kept whole, so that a difference can be shown; of longer ones a
/// hash is kept.
const WHOLE_MAX: usize = 4 << 20;

/// One thing that a call told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// A number.
    Number(i64),
    /// A word or several.
    Text(String),
    /// Contents.
    Bytes(Vec<u8>),
}

/// A thing told, under its name.
pub(crate) type Fact = (&'static str, Value);

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It succeeded and told this.
    Done(Vec<Fact>),
    /// It failed.
    Failed(Errno),
    /// It was not made: there is no such handle, or the call is one whose answer means nothing.
    Skipped(&'static str),
    /// It did not end in time, or its thread died.
    Lost,
}

impl Value {
    /// A text.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A number; what does not fit into 63 bits is its largest.
    pub(crate) fn number(number: impl TryInto<i64>) -> Self {
        Self::Number(number.try_into().unwrap_or(i64::MAX))
    }

    /// Contents.
    pub(crate) fn bytes(bytes: Vec<u8>) -> Self {
        if bytes.len() <= WHOLE_MAX {
            return Self::Bytes(bytes);
        }
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        Self::Text(format!("{} bytes of hash {:016x}", bytes.len(), hasher.finish()))
    }
}

impl Outcome {
    /// A fact of it.
    pub(crate) fn fact(&self, name: &str) -> Option<&Value> {
        match self {
            Self::Done(facts) => facts.iter().find(|(key, _)| *key == name).map(|(_, value)| value),
            Self::Failed(_) | Self::Skipped(_) | Self::Lost => None,
        }
    }

    /// Whether a label is that of a call that was made.
    pub(crate) fn was_made(label: &str) -> bool {
        !label.starts_with("not made") && label != "lost"
    }

    /// Whether the call succeeded.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self, Self::Done(_))
    }

    /// Errno, or `ok`: for the name of a difference.
    pub(crate) fn label(&self) -> String {
        match self {
            Self::Done(_) => "ok".to_owned(),
            Self::Failed(errno) => format!("{errno:?}"),
            Self::Skipped(reason) => format!("not made ({reason})"),
            Self::Lost => "lost".to_owned(),
        }
    }
}

impl From<Result<Vec<Fact>, Errno>> for Outcome {
    fn from(result: Result<Vec<Fact>, Errno>) -> Self {
        result.map_or_else(Self::Failed, Self::Done)
    }
}

impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
            Self::Bytes(bytes) => {
                write!(f, "{} bytes", bytes.len())?;
                let shown: Vec<String> = bytes.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
                write!(f, " {}{}", shown.join(""), if bytes.len() > 16 { ".." } else { "" })
            }
        }
    }
}

impl Display for Outcome {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label())?;
        match self {
            Self::Done(facts) => facts.iter().try_for_each(|(name, value)| write!(f, ", {name} {value}")),
            Self::Failed(_) | Self::Skipped(_) | Self::Lost => Ok(()),
        }
    }
}

/// Where two values differ, in words; the first byte of it for contents.
pub(crate) fn explain(name: &str, volume: Option<&Value>, local: Option<&Value>) -> String {
    let show = |value: Option<&Value>| value.map_or_else(|| "nothing".to_owned(), ToString::to_string);
    let mut text = format!("{name}: volume {}, ext4 {}", show(volume), show(local));
    if let (Some(Value::Bytes(volume)), Some(Value::Bytes(local))) = (volume, local)
        && let Some(at) = volume.iter().zip(local).position(|(a, b)| a != b)
    {
        let same = volume[at..].iter().zip(&local[at..]).position(|(a, b)| a == b);
        let until = same.map_or_else(|| "the end".to_owned(), |len| (at + len).to_string());
        text += &format!("; differ from byte {at} to {until}: volume {:02x}, ext4 {:02x}", volume[at], local[at]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_of_contents_is_told_by_its_first_byte() {
        let text =
            explain("content", Some(&Value::Bytes(vec![1, 2, 0, 0, 5])), Some(&Value::Bytes(vec![1, 2, 3, 4, 5])));
        assert!(text.contains("from byte 2 to 4: volume 00, ext4 03"), "{text}");
    }
}
