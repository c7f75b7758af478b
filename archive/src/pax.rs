//! Records of extended headers: `LENGTH KEY=VALUE\n`, the length in decimal and of all of it.

use holdfast_core::error::{Error, ErrorKind, Result};

/// The longest extended header that is written or taken, in bytes: attributes of 64 KiB, many.
pub(crate) const RECORDS_BYTES_MAX: usize = 64 << 20;

/// Keys and values in order; the last one of a key counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Records(Vec<(Vec<u8>, Vec<u8>)>);

impl Records {
    /// Adds one.
    pub(crate) fn add(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.0.push((key.into(), value.into()));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of a key; an empty one undoes it.
    pub(crate) fn get(&self, key: &str) -> Option<&[u8]> {
        let found = self.0.iter().rev().find(|(name, _)| name == key.as_bytes())?;
        Some(&found.1[..]).filter(|value| !value.is_empty())
    }

    /// All of them, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.iter().map(|(key, value)| (&key[..], &value[..]))
    }

    /// These, and then others.
    pub(crate) fn extend(&mut self, others: &Self) {
        self.0.extend(others.0.iter().cloned());
    }

    /// Their bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (key, value) in &self.0 {
            let rest = key.len() + value.len() + 3;
            let mut len = rest + digits(rest);
            if digits(len) > digits(rest) {
                len = rest + digits(len);
            }
            bytes.extend_from_slice(len.to_string().as_bytes());
            bytes.push(b' ');
            bytes.extend_from_slice(key);
            bytes.push(b'=');
            bytes.extend_from_slice(value);
            bytes.push(b'\n');
        }
        bytes
    }

    /// The records of some bytes.
    ///
    /// # Errors
    /// `Invalid`: they are none.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let mut records = Self::default();
        let mut rest = bytes;
        while !rest.is_empty() {
            let (record, after) = one(rest).ok_or_else(|| {
                let at = bytes.len() - rest.len();
                Error::new(ErrorKind::Invalid, format!("an extended header is malformed at its byte {at}"))
            })?;
            records.0.push(record);
            rest = after;
        }
        Ok(records)
    }
}

const fn digits(number: usize) -> usize {
    match number {
        0 => 1,
        _ => number.ilog10() as usize + 1,
    }
}

type Record = (Vec<u8>, Vec<u8>);

fn one(bytes: &[u8]) -> Option<(Record, &[u8])> {
    let space = bytes.iter().take(21).position(|byte| *byte == b' ')?;
    let number = bytes[..space].iter().all(u8::is_ascii_digit);
    let len: usize = std::str::from_utf8(&bytes[..space]).ok().filter(|_| number)?.parse().ok()?;
    let record = bytes.get(space + 1..len)?;
    let (end, text) = record.split_last()?;
    let equals = text.iter().position(|byte| *byte == b'=').filter(|at| *at > 0)?;
    (*end == b'\n').then(|| ((text[..equals].to_vec(), text[equals + 1..].to_vec()), &bytes[len..]))
}

/// An equals sign would end the key: `%3D`, and `%25` for the percent sign, as GNU tar does.
pub(crate) fn escape(name: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(name.len());
    for byte in name {
        match byte {
            b'=' => escaped.extend_from_slice(b"%3D"),
            b'%' => escaped.extend_from_slice(b"%25"),
            _ => escaped.push(*byte),
        }
    }
    escaped
}

/// The reverse; a percent sign that nobody escaped stays.
pub(crate) fn unescape(name: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((first, after)) = rest.split_first() {
        let (byte, after) = match rest.get(..3) {
            Some(b"%3D") => (b'=', &rest[3..]),
            Some(b"%25") => (b'%', &rest[3..]),
            _ => (*first, after),
        };
        plain.push(byte);
        rest = after;
    }
    plain
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed step of a test fails the test")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_length_counts_itself() {
        let mut records = Records::default();
        records.add("path", "x");
        assert_eq!(records.encode(), b"9 path=x\n");
        records = Records::default();
        records.add("a", "b".repeat(94));
        assert!(records.encode().starts_with(b"101 a="), "the number of digits changes the length");
        assert_eq!(Records::decode(&records.encode()).unwrap(), records);
    }

    #[test]
    fn the_last_one_counts_and_an_empty_one_undoes() {
        let mut records = Records::default();
        records.add("path", "first");
        records.add("path", "last");
        assert_eq!(records.get("path"), Some(&b"last"[..]));
        records.add("path", "");
        assert_eq!(records.get("path"), None);
    }

    #[test]
    fn what_is_no_record_is_refused() {
        for bad in [
            &b"x"[..],
            b"10 path=x",
            b"8 path=x\n",
            b"11 path=x\n",
            b"5 =x\n",
            b"6 abc\n",
            b"99999999999999999999 a=b\n",
            b"0 a=b\n",
            b"-3 a=b\n",
            b"3 \n",
        ] {
            assert!(Records::decode(bad).is_err(), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn keys_with_signs_of_their_own_come_back() {
        assert_eq!(escape(b"user.a=b%"), b"user.a%3Db%25");
        for name in [&b"user.a=b%"[..], b"%", b"%3D", b"a%2", b"=%=%25"] {
            assert_eq!(unescape(&escape(name)), name);
        }
        assert_eq!(unescape(b"user.50%"), b"user.50%");
    }

    proptest! {
        #[test]
        fn any_records_come_back(pairs in prop::collection::vec(("[A-Za-z.%]{1,40}", prop::collection::vec(any::<u8>(), 0..300)), 0..6)) {
            let mut records = Records::default();
            for (key, value) in pairs {
                records.add(key, value);
            }
            prop_assert_eq!(Records::decode(&records.encode()).unwrap(), records);
        }

        #[test]
        fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Records::decode(&bytes);
        }
    }
}
