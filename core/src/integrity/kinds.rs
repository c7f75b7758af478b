//! The kinds of findings in metadata.

kinds! {
    /// What is wrong with the metadata.
    FindingKind {
        /// A record cannot be read: its bytes are not those of a record.
        Unreadable = 1 "unreadable-record",
        /// There is no root directory.
        NoRoot = 2 "no-root",
        /// A name leads to an inode that is not there.
        EntryToNothing = 3 "name-of-nothing",
        /// A name and its inode disagree about the type.
        EntryType = 4 "type-differs",
        /// Names stand in something that is no directory.
        EntryOutside = 5 "names-outside",
        /// A name is missing in the listing of its directory.
        NotListed = 6 "not-listed",
        /// The listing has something else at a name's place.
        ListedWrongly = 7 "listed-wrongly",
        /// The listing has a name that is nowhere else, and its inode misses one.
        NameLost = 8 "name-lost",
        /// The listing has a name that is nowhere else, and nobody misses it.
        ListedLeft = 9 "listed-left",
        /// A file counts another number of names than it has.
        LinkCount = 10 "link-count",
        /// A directory counts another number of subdirectories than it has.
        SubdirectoryCount = 11 "subdirectory-count",
        /// A directory counts another number of entries than it has.
        EntryCount = 12 "entry-count",
        /// An inode that counts names has none.
        Nameless = 13 "nameless",
        /// A directory has more than one name.
        ManyNames = 14 "directory-names",
        /// A directory says that it stands elsewhere than where its name is.
        DirectoryPlace = 15 "directory-place",
        /// A directory does not lie below the root.
        Detached = 16 "detached-directory",
        /// An inode counts other bytes of attribute names than it has.
        XattrBytes = 17 "xattr-bytes",
        /// Attributes belong to an inode that is not there.
        StrayXattrs = 18 "stray-xattrs",
        /// A symlink's target is missing or of another length, or something else has one.
        Target = 19 "symlink-target",
        /// An inode with names, or one that is not there, is marked as having none.
        WrongMark = 20 "wrong-orphan-mark",
        /// An inode without names is not marked so.
        NoMark = 21 "no-orphan-mark",
        /// An inode without names stays though nobody has it open.
        OrphanLeft = 22 "orphan-left",
        /// A file counts other allocated bytes than it has.
        AllocatedBytes = 23 "allocated-bytes",
        /// A file has an extent past the offset that none may pass.
        ExtentEnd = 24 "extent-end",
        /// A file has data past its size.
        DataPastSize = 25 "data-past-size",
        /// Two extents of a file overlap.
        ExtentOverlap = 26 "extents-overlap",
        /// Extents belong to no file.
        DataOfNobody = 27 "data-of-nobody",
        /// Two files have the same extents.
        DataShared = 28 "data-shared",
        /// The extents of a file are marked to be removed.
        DataDoomed = 29 "data-doomed",
        /// The volume counts other bytes than it has.
        UsageBytes = 30 "usage-bytes",
        /// The volume counts other inodes than it has.
        UsageInodes = 31 "usage-inodes",
        /// A segment counts other live bytes than extents point to.
        SegmentLive = 32 "segment-live-bytes",
        /// A segment's account ends before its last frame.
        SegmentLength = 33 "segment-length",
    }
}

impl FindingKind {
    /// What it means, of the thing that is named beside it.
    #[must_use]
    pub const fn means(self) -> &'static str {
        match self {
            Self::Unreadable => "cannot be read",
            Self::NoRoot => "has no root directory",
            Self::EntryToNothing => "leads to an inode that is not there",
            Self::EntryType => "has another type than the inode that it leads to",
            Self::EntryOutside => "has names in it and is no directory",
            Self::NotListed => "is missing in the listing of its directory",
            Self::ListedWrongly => "has something else at its place in the listing",
            Self::NameLost => "is only in the listing, and its inode misses a name",
            Self::ListedLeft => "is only in the listing, and nobody misses it",
            Self::LinkCount => "counts another number of names than it has",
            Self::SubdirectoryCount => "counts another number of subdirectories than it has",
            Self::EntryCount => "counts another number of entries than it has",
            Self::Nameless => "counts names and has none",
            Self::ManyNames => "is a directory with more than one name",
            Self::DirectoryPlace => "says that it stands elsewhere than where its name is",
            Self::Detached => "does not lie below the root",
            Self::XattrBytes => "counts other bytes of attribute names than it has",
            Self::StrayXattrs => "is not there and has attributes",
            Self::Target => "has a symlink's target that does not fit",
            Self::WrongMark => "is wrongly marked as having no name",
            Self::NoMark => "has no name and is not marked so",
            Self::OrphanLeft => "has no name, and nobody has it open",
            Self::AllocatedBytes => "counts other allocated bytes than it has",
            Self::ExtentEnd => "has an extent past the offset that none may pass",
            Self::DataPastSize => "has data past its size",
            Self::ExtentOverlap => "has extents that overlap",
            Self::DataOfNobody => "belongs to no file",
            Self::DataShared => "belongs to more than one file",
            Self::DataDoomed => "is marked to be removed though a file has it",
            Self::UsageBytes => "counts other bytes than it has",
            Self::UsageInodes => "counts other inodes than it has",
            Self::SegmentLive => "counts other live bytes than extents point to",
            Self::SegmentLength => "has an account that ends before its last frame",
        }
    }
}
