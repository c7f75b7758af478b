//! What an archive says of itself: a label in its first header, counts and a checksum in its last.
//!
//! Both are records of global extended headers, which other programs pass over.

use holdfast_core::error::{Error, ErrorKind, Result};
use holdfast_core::hash::FrameHash;
use holdfast_core::id::VolumeId;
use holdfast_core::time::Timestamp;
use holdfast_core::volume::VolumeSpec;

use crate::pax::{Records, escape};
use crate::stamp;

/// The version of the archive's format that is written and read.
pub const VERSION: u32 = 1;

const ARCHIVE: &str = "HOLDFAST.archive";
const VOLUME: &str = "HOLDFAST.volume";
const VOLUME_ID: &str = "HOLDFAST.volume.id";
const BY: &str = "HOLDFAST.by";
const MADE: &str = "HOLDFAST.made";
const SIZE: &str = "HOLDFAST.volume.size";
const INODES: &str = "HOLDFAST.volume.inodes";
const ALLOWS: &str = "HOLDFAST.volume.allows";
const LABEL: &str = "HOLDFAST.volume.label.";
const END_MEMBERS: &str = "HOLDFAST.end.members";
const END_BYTES: &str = "HOLDFAST.end.bytes";
const END_WARNINGS: &str = "HOLDFAST.end.warnings";
const END_BLAKE3: &str = "HOLDFAST.end.blake3";

/// What stands at the beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Name of the volume.
    pub volume: String,
    /// Its id.
    pub id: VolumeId,
    /// The program that wrote the archive, and its version.
    pub by: String,
    /// When it was begun.
    pub made: Timestamp,
    /// What was asked for when the volume was made, if that is known.
    pub spec: Option<VolumeSpec>,
}

/// What stands at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Members of the archive.
    pub members: u64,
    /// Bytes of the archive before its last header.
    pub bytes: u64,
    /// What its maker had to warn of: it is whole all the same.
    pub warnings: u64,
    /// BLAKE3 of these bytes.
    pub blake3: FrameHash,
}

impl Label {
    pub(crate) fn records(&self) -> Records {
        let mut records = Records::default();
        records.add("comment", format!("Holdfast archive of volume {}", self.volume));
        records.add(ARCHIVE, VERSION.to_string());
        records.add(VOLUME, self.volume.clone());
        records.add(VOLUME_ID, self.id.to_string());
        records.add(BY, self.by.clone());
        records.add(MADE, stamp::encode(self.made));
        if let Some(spec) = &self.spec {
            let limits = [(SIZE, spec.quota.bytes), (INODES, spec.quota.inodes)];
            limits.into_iter().for_each(|(key, limit)| {
                limit.into_iter().for_each(|limit| records.add(key, limit.to_string()));
            });
            let allows = [(spec.policy.allow_suid, "suid"), (spec.policy.allow_dev, "dev")];
            let allows: Vec<&str> = allows.iter().filter_map(|(allowed, word)| allowed.then_some(*word)).collect();
            if !allows.is_empty() {
                records.add(ALLOWS, allows.join(","));
            }
            for (key, value) in &spec.labels {
                records.add([LABEL.as_bytes(), &escape(key.as_bytes())].concat(), value.clone());
            }
        }
        records
    }

    /// The label of these records; `None`: they are those of another program's archive. The volume's limits
    /// are for people and not read back.
    pub(crate) fn of(records: &Records) -> Result<Option<Self>> {
        let Some(version) = records.get(ARCHIVE) else { return Ok(None) };
        if version != VERSION.to_string().as_bytes() {
            return Err(Error::new(
                ErrorKind::Version,
                format!(
                    "the archive has version {} of our format, this program reads {VERSION}; use a newer one, or tar",
                    String::from_utf8_lossy(version)
                ),
            ));
        }
        let text = |key| records.get(key).map(|value| String::from_utf8_lossy(value).into_owned()).unwrap_or_default();
        let id = text(VOLUME_ID).parse().map_err(|error| wrong(&format!("the volume's id: {error}")))?;
        let made = records.get(MADE).and_then(stamp::decode).ok_or_else(|| wrong("its time"))?;
        Ok(Some(Self { volume: text(VOLUME), id, by: text(BY), made, spec: None }))
    }
}

impl Ending {
    pub(crate) fn records(&self) -> Records {
        let mut records = Records::default();
        records.add(END_MEMBERS, self.members.to_string());
        records.add(END_BYTES, self.bytes.to_string());
        records.add(END_WARNINGS, self.warnings.to_string());
        records.add(END_BLAKE3, self.blake3.to_string());
        records
    }

    /// The ending of these records, if it is one.
    pub(crate) fn of(records: &Records) -> Result<Option<Self>> {
        let Some(hash) = records.get(END_BLAKE3) else { return Ok(None) };
        let number = |key: &str| {
            let found = records.get(key).and_then(|value| std::str::from_utf8(value).ok()?.parse().ok());
            found.ok_or_else(|| wrong(&format!("{key} in its last header")))
        };
        let blake3 = hash_of(hash).ok_or_else(|| wrong("the checksum in its last header"))?;
        let (members, bytes, warnings) = (number(END_MEMBERS)?, number(END_BYTES)?, number(END_WARNINGS)?);
        Ok(Some(Self { members, bytes, warnings, blake3 }))
    }
}

fn wrong(what: &str) -> Error {
    Error::new(ErrorKind::Damaged, format!("the archive is damaged: {what} cannot be read"))
}

fn hash_of(text: &[u8]) -> Option<FrameHash> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.len() == 64 && text.is_ascii())?;
    let mut hash = [0; 32];
    for (at, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    // Exactly as it is written.
    Some(FrameHash(hash)).filter(|hash| hash.to_string() == text)
}
