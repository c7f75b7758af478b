//! The rows of the yardstick: their names, what they are, and which were asked for.

use crate::failure::{Failure, Result};

/// What is measured in one go: rows of a group need each other's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    Large,
    Small,
    Meta,
    Sync,
    Pair,
}

impl Group {
    pub(super) const ALL: [Self; 5] = [Self::Large, Self::Small, Self::Meta, Self::Sync, Self::Pair];

    const fn name(self) -> &'static str {
        match self {
            Self::Large => "large",
            Self::Small => "small",
            Self::Meta => "meta",
            Self::Sync => "sync",
            Self::Pair => "pair",
        }
    }
}

macro_rules! rows {
    ($($variant:ident $name:literal $group:ident $unit:literal $what:literal,)*) => {
        /// One measure.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Row { $($variant,)* }

        impl Row {
            pub(super) const ALL: &[Self] = &[$(Self::$variant,)*];

            /// What people and machines call it. Part of the interface: never changed.
            pub(super) const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            pub(super) const fn group(self) -> Group {
                match self { $(Self::$variant => Group::$group,)* }
            }

            /// Of what the rate counts so many a second.
            pub(super) const fn unit(self) -> &'static str {
                match self { $(Self::$variant => $unit,)* }
            }

            pub(super) const fn what(self) -> &'static str {
                match self { $(Self::$variant => $what,)* }
            }
        }

        /// The rows, for `--help`.
        pub(super) const HELP: &str = concat!(
            "Rows, by group (--only takes both):",
            $("\n  ", stringify!($group), "  ", $name, ": ", $what,)*
        );
    };
}

rows! {
    SeqWrite "seq_write" Large "MiB" "write a large file, 1 MiB at a time, and fsync",
    SeqRead "seq_read" Large "MiB" "read it, not cached, through DIR2",
    SeqReread "seq_reread" Large "MiB" "read it again",
    RandReread "rand_reread" Large "reads" "4 KiB at random places of it, cached",
    RandRead "rand_read" Large "reads" "the same, not cached",
    RandWrite "rand_write" Large "writes" "write 4 KiB at random places of it, fsync at the end",
    Create "create" Small "files" "create and write files of 4 KiB",
    Stat "stat" Small "files" "stat each, through DIR2",
    Read "read" Small "files" "open, read, close each, through DIR2",
    Unlink "unlink" Small "files" "remove each",
    Create4 "create_4" Small "files" "the same four by four threads",
    Stat4 "stat_4" Small "files" "stat",
    Read4 "read_4" Small "files" "open, read, close",
    Unlink4 "unlink_4" Small "files" "remove",
    Mkdir "mkdir" Meta "dirs" "make directories",
    Rename "rename" Meta "dirs" "rename each",
    List "list" Meta "entries" "ls -lR of a tree, through DIR2; times of a directory",
    Rmdir "rmdir" Meta "dirs" "remove each directory",
    AppendFsync "append_fsync" Sync "appends" "append 4 KiB and fsync",
    SeeWrite "see_write" Pair "times" "until DIR2 reads what was written through DIR",
    SeeCreate "see_create" Pair "times" "until DIR2 finds a new file",
    SeeRename "see_rename" Pair "times" "until DIR2 finds a file under its new name",
    SeeUnlink "see_unlink" Pair "times" "until DIR2 misses a removed file",
    Counter "counter" Pair "steps" "count in a file under a lock, DIR and DIR2 at once",
}

impl Row {
    /// Its rate says how fast it is. Else its latency does.
    pub(super) fn has_rate(self) -> bool {
        !matches!(self, Self::SeeWrite | Self::SeeCreate | Self::SeeRename | Self::SeeUnlink)
    }

    /// It moves enough bytes for their rate to mean something.
    pub(super) fn has_bytes(self) -> bool {
        self.group() == Group::Large
    }
}

/// The rows that were asked for by names of rows or groups; all, if none was.
pub(super) fn choose(only: &[String], two: bool) -> Result<Vec<Row>> {
    for word in only {
        let known = Row::ALL.iter().any(|row| row.name() == word || row.group().name() == word);
        if !known {
            let names: Vec<&str> = Row::ALL.iter().map(|row| row.name()).collect();
            let groups = Group::ALL.map(Group::name).join(", ");
            return Err(Failure::usage(format!("there is no row {word}"))
                .hint(format!("rows: {}; groups: {groups}", names.join(", "))));
        }
        if !two && Row::ALL.iter().any(|row| row.group() == Group::Pair && (row.name() == word || word == "pair")) {
            return Err(Failure::usage(format!("row {word} needs two directories"))
                .hint("mount the volume a second time, and name that directory too"));
        }
    }
    let asked = |row: &Row| only.iter().any(|word| word == row.name() || word == row.group().name());
    let rows = Row::ALL.iter().copied().filter(|row| only.is_empty() || asked(row));
    Ok(rows.filter(|row| two || row.group() != Group::Pair).collect())
}
