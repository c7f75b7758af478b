//! Mount options, as `-o` and mount(8) give them.
//!
//! Options that only concern mount(8) itself or systemd (`_netdev`, `nofail`, `x-...`) are taken
//! and mean nothing here. Anything else that is not known is an error, so that a typing mistake in
//! fstab does not go unnoticed.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use holdfast_client::Patience;
use holdfast_core::error::{Error, ErrorKind, Result};
use holdfast_core::size::ByteSize;
use nix::mount::MsFlags;

use crate::disk;

/// How long a soft mount waits for its server, where `timeout=` says nothing.
pub const SOFT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);
/// How far ahead the kernel reads, where `readahead=` says nothing.
pub const READAHEAD_DEFAULT: ByteSize = ByteSize(4 << 20);
const READAHEAD_MIN: ByteSize = ByteSize(4096);
const READAHEAD_MAX: ByteSize = ByteSize(1 << 30);
/// More than any disk has.
const CACHE_SIZE_MAX: ByteSize = ByteSize(1 << 60);

/// What a mount is asked to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountOptions {
    /// `ro`: nothing can be changed through this mount.
    pub read_only: bool,
    /// `exclusive`: nobody else mounts the volume meanwhile, so that the kernel may keep writes to itself.
    pub exclusive: bool,
    /// `suid`, `nosuid`: whether set-user-id bits count. `None`: as the volume's policy says.
    pub suid: Option<bool>,
    /// `dev`, `nodev`: whether device inodes work. `None`: as the volume's policy says.
    pub dev: Option<bool>,
    /// `noexec`, `sync`, `dirsync`, `noatime` and others that the kernel sees to.
    pub flags: MsFlags,
    /// `hard` (wait for the server for ever) or `soft,timeout=TIME`.
    pub patience: Patience,
    /// `fg`: stay in the foreground.
    pub foreground: bool,
    /// `readahead=SIZE`: how far ahead the kernel reads.
    pub readahead: ByteSize,
    /// `threads=N`: threads that read requests. `None`: as the machine's processors suggest.
    pub threads: Option<usize>,
    /// `cache=DIR`: a directory of a local disk where blocks of files are kept. `None`: none is.
    pub cache: Option<PathBuf>,
    /// `cache-size=SIZE`: what they may take up there.
    pub cache_size: ByteSize,
    /// `tls_ca=FILE`: the authority that signed the server's certificate.
    pub tls_ca: Option<PathBuf>,
    /// `tls_cert=FILE`: our certificate.
    pub tls_cert: Option<PathBuf>,
    /// `tls_key=FILE`: its key.
    pub tls_key: Option<PathBuf>,
    /// `token_file=FILE`: the secret that the server may ask for.
    pub token_file: Option<PathBuf>,
    /// `log=FILE`: where a daemon writes its log.
    pub log: Option<PathBuf>,
}

impl Default for MountOptions {
    fn default() -> Self {
        Self {
            read_only: false,
            exclusive: false,
            suid: None,
            dev: None,
            flags: MsFlags::empty(),
            patience: Patience::Hard,
            foreground: false,
            readahead: READAHEAD_DEFAULT,
            threads: None,
            cache: None,
            cache_size: disk::SIZE_DEFAULT,
            tls_ca: None,
            tls_cert: None,
            tls_key: None,
            token_file: None,
            log: None,
        }
    }
}

impl MountOptions {
    /// Reads a comma-separated list. Of options that contradict each other the last one counts, as with
    /// mount(8); but `hard` and `soft` are refused together, since losing is not to be a matter of order.
    ///
    /// # Errors
    /// `Invalid`, naming the option and what it takes.
    pub fn parse(list: &str) -> Result<Self> {
        Self::from_words(list.split(','))
    }

    /// The same for options that are split already.
    ///
    /// # Errors
    /// `Invalid`, naming the option and what it takes.
    pub fn from_words<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let mut options = Self::default();
        let (mut hard, mut soft, mut timeout, mut cache_size) = (false, false, None, None);
        for word in words.into_iter().map(str::trim).filter(|word| !word.is_empty()) {
            match word.split_once('=') {
                Some(("timeout", value)) => timeout = Some(wait_for(word, value)?),
                Some(("cache-size", value)) => cache_size = Some(size(word, value, disk::SIZE_MIN..=CACHE_SIZE_MAX)?),
                Some((name, value)) => options.value(word, name, value)?,
                None => match word {
                    "soft" => soft = true,
                    "hard" => hard = true,
                    _ => options.word(word)?,
                },
            }
        }
        if hard && soft {
            return Err(invalid(
                "mount options hard and soft contradict each other: hard waits for the server for ever, soft gives up \
                 after timeout=; leave one of them out"
                    .into(),
            ));
        }
        match (soft, timeout) {
            (true, timeout) => options.patience = Patience::Soft(timeout.unwrap_or(SOFT_TIMEOUT_DEFAULT)),
            (false, None) => {}
            (false, Some(_)) => {
                return Err(invalid(
                    "mount option timeout= counts only together with soft; add soft or leave it out".into(),
                ));
            }
        }
        if cache_size.is_some() && options.cache.is_none() {
            return Err(invalid(
                "mount option cache-size= counts only together with cache=DIR; add that or leave it out".into(),
            ));
        }
        options.cache_size = cache_size.unwrap_or(options.cache_size);
        Ok(options)
    }

    fn word(&mut self, word: &str) -> Result<()> {
        match word {
            "ro" => self.read_only = true,
            "rw" => self.read_only = false,
            "exclusive" => self.exclusive = true,
            "shared" => self.exclusive = false,
            "suid" | "allow_suid" => self.suid = Some(true),
            "nosuid" => self.suid = Some(false),
            "dev" | "allow_dev" => self.dev = Some(true),
            "nodev" => self.dev = Some(false),
            "fg" => self.foreground = true,
            "bg" => self.foreground = false,
            "exec" => self.flags.remove(MsFlags::MS_NOEXEC),
            "noexec" => self.flags.insert(MsFlags::MS_NOEXEC),
            "async" => self.flags.remove(MsFlags::MS_SYNCHRONOUS),
            "sync" => self.flags.insert(MsFlags::MS_SYNCHRONOUS),
            "dirsync" => self.flags.insert(MsFlags::MS_DIRSYNC),
            "noatime" => self.access_times(MsFlags::MS_NOATIME),
            "nodiratime" => self.flags.insert(MsFlags::MS_NODIRATIME),
            "diratime" => self.flags.remove(MsFlags::MS_NODIRATIME),
            // Without any of them a remount would leave what there was.
            "atime" | "relatime" => self.access_times(MsFlags::MS_RELATIME),
            "norelatime" => self.flags.remove(MsFlags::MS_RELATIME),
            "strictatime" => {
                return Err(invalid(
                    "mount option strictatime: reads move access times as with relatime here, not each time; leave it out, \
                     or use noatime"
                        .to_owned(),
                ));
            }
            "remount" => {
                return Err(invalid("a holdfast mount cannot be remounted; unmount it and mount it again".to_owned()));
            }
            word if is_for_others(word) => {}
            _ => return Err(unknown(word)),
        }
        Ok(())
    }

    fn access_times(&mut self, how: MsFlags) {
        self.flags.remove(MsFlags::MS_NOATIME | MsFlags::MS_RELATIME);
        self.flags.insert(how);
    }

    fn value(&mut self, word: &str, name: &str, value: &str) -> Result<()> {
        let file = || {
            if value.is_empty() {
                Err(invalid(format!("mount option {name}= needs a file")))
            } else {
                Ok(Some(PathBuf::from(value)))
            }
        };
        match name {
            "tls_ca" => self.tls_ca = file()?,
            "tls_cert" => self.tls_cert = file()?,
            "tls_key" => self.tls_key = file()?,
            "token_file" => self.token_file = file()?,
            "log" => self.log = file()?,
            "cache" if value.is_empty() => {
                return Err(invalid("mount option cache= needs a directory of a local disk".to_owned()));
            }
            "cache" => self.cache = Some(PathBuf::from(value)),
            "readahead" => self.readahead = size(word, value, READAHEAD_MIN..=READAHEAD_MAX)?,
            // NFS counts tenths of seconds there.
            "timeo" => {
                return Err(invalid(format!(
                    "mount option {word} is not known here; use soft,timeout=TIME, as in timeout=30s"
                )));
            }
            "threads" => {
                let threads = value.parse().ok().filter(|threads| (1..=64).contains(threads));
                self.threads = Some(threads.ok_or_else(|| invalid(format!("mount option {word}: use 1 to 64")))?);
            }
            name if is_for_others(name) => {}
            _ => return Err(unknown(word)),
        }
        Ok(())
    }
}

/// Words for mount(8), systemd and other readers of fstab.
fn is_for_others(name: &str) -> bool {
    let known = [
        "defaults", "_netdev", "auto", "noauto", "nofail", "user", "nouser", "users", "owner", "group", "comment",
        "loud", "silent",
    ];
    known.contains(&name) || name.starts_with("x-") || name.starts_with("X-")
}

/// 1 second to a day: a number of seconds, or with a unit.
fn wait_for(word: &str, value: &str) -> Result<Duration> {
    let digits = value.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = value.split_at(digits);
    let unit = match unit {
        "" | "s" => Some(1),
        "m" | "min" => Some(60),
        "h" => Some(3600),
        _ => None,
    };
    let secs = number.parse::<u64>().ok().zip(unit).and_then(|(number, unit)| number.checked_mul(unit));
    secs.filter(|secs| (1..=86_400).contains(secs)).map(Duration::from_secs).ok_or_else(|| {
        invalid(format!("mount option {word}: use 1s to 24h, as in timeout=30, timeout=30s or timeout=5m"))
    })
}

fn size(word: &str, value: &str, allowed: RangeInclusive<ByteSize>) -> Result<ByteSize> {
    let size: ByteSize = value.parse().map_err(|error| invalid(format!("mount option {word}: {error}")))?;
    if allowed.contains(&size) {
        return Ok(size);
    }
    Err(invalid(format!("mount option {word}: use {} to {}", allowed.start(), allowed.end())))
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

fn unknown(word: &str) -> Error {
    invalid(format!(
        "unknown mount option {word:?}; known are ro, rw, exclusive, shared, suid, nosuid, dev, nodev, exec, noexec, \
         sync, async, dirsync, noatime, hard, soft, timeout=TIME, fg, readahead=SIZE, threads=N, cache=DIR, \
         cache-size=SIZE, tls_ca=, tls_cert=, tls_key=, token_file= and log="
    ))
}

#[cfg(test)]
mod tests;
