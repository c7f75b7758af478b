//! What a check of a volume's metadata or a scrub of its data finds, in the words that every side shares.
//!
//! A [`Finding`] is a record that contradicts others; a [`BadFrame`] is data that is not what was
//! written. Neither says what to do about it: [`Mending`] does, and the server decides it.

/// Defines the kinds with their words, which never change: scripts and documents use them.
macro_rules! kinds {
    ($(#[$of:meta])* $name:ident { $($(#[$doc:meta])* $kind:ident = $number:literal $word:literal,)* }) => {
        $(#[$of])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$doc])* $kind,)* }

        impl $name {
            /// All of them, in order.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)*];

            /// The word for it.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$kind => $word,)* }
            }

            /// Its number on the wire, from 1.
            #[must_use]
            pub const fn number(self) -> u32 {
                match self { $(Self::$kind => $number,)* }
            }

            /// The one with this number.
            #[must_use]
            pub const fn of_number(number: u32) -> Option<Self> {
                match number { $($number => Some(Self::$kind),)* _ => None }
            }
        }
    };
}

mod check;
mod kinds;
mod scrub;

pub use self::check::{CheckPhase, CheckProgress, CheckReport, Counted, Figures, Finding, Mending, Subject};
pub use self::kinds::FindingKind;
pub use self::scrub::{BadFrame, BadRange, BadSegment, Fault, ScrubPlace, ScrubRun, ScrubStatus};

#[cfg(test)]
mod tests;
