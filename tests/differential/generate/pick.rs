//! The arguments of random calls.

use super::Generator;
use super::known::Kind;
use crate::word::{Acl, At, Follow, Id, MAPS, MapSlot, Perm, SLOTS, Slot, Text, Time};

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
/// Deeper paths are rare.
const DEPTH: usize = 3;

impl Generator<'_> {
    fn index_of<T: PartialEq + Copy>(&mut self, of: &[T], wanted: &[T]) -> Option<usize> {
        let fitting: Vec<usize> = (0..of.len()).filter(|at| wanted.contains(&of[*at])).collect();
        (!fitting.is_empty()).then(|| *self.random.pick(&fitting))
    }

    fn slot_of(&mut self, kinds: &[Option<Kind>]) -> Slot {
        let handles = self.known.handles(self.actor).to_vec();
        let index = self.index_of(&handles, kinds);
        let index = index.unwrap_or_else(|| self.random.index(usize::from(SLOTS)));
        Slot(u8::try_from(index).unwrap_or(0))
    }

    /// Mostly an open one; where the caller has none, another of the processes gets the turn.
    pub(super) fn slot(&mut self) -> Slot {
        self.turn_to(&[Some(Kind::File), Some(Kind::Directory)]);
        self.slot_of(&[Some(Kind::File), Some(Kind::Directory)])
    }

    pub(super) fn file_slot(&mut self) -> Slot {
        if self.random.percent(3) {
            return self.slot();
        }
        self.turn_to(&[Some(Kind::File)]);
        self.slot_of(&[Some(Kind::File)])
    }

    pub(super) fn directory_slot(&mut self) -> Slot {
        self.turn_to(&[Some(Kind::Directory)]);
        self.slot_of(&[Some(Kind::Directory)])
    }

    /// A slot for something new: free, or with a chance of closing what is there.
    pub(super) fn free_slot(&mut self) -> Slot {
        if self.random.percent(80) { self.slot_of(&[None]) } else { self.any_slot() }
    }

    fn turn_to(&mut self, kinds: &[Option<Kind>]) {
        self.turn_to_one_of(&self.known.with_handle(kinds));
    }

    fn turn_to_one_of(&mut self, places: &[(usize, usize)]) {
        if !places.is_empty() && !places.contains(&(self.actor.mount, self.actor.process)) {
            (self.actor.mount, self.actor.process) = *self.random.pick(places);
        }
    }

    pub(super) fn any_map(&mut self) -> MapSlot {
        MapSlot(u8::try_from(self.random.below(u64::from(MAPS))).unwrap_or(0))
    }

    pub(super) fn map(&mut self) -> MapSlot {
        self.turn_to_one_of(&self.known.with_map());
        let maps = self.known.maps(self.actor).to_vec();
        match self.index_of(&maps, &[true]) {
            Some(index) => MapSlot(u8::try_from(index).unwrap_or(0)),
            None => self.any_map(),
        }
    }

    pub(super) fn in_map(&mut self) -> usize {
        *self.random.pick(&[0, 0, 1, 1, 100, 100, 500, 4000, 4095, 4096, 4097, 8192])
    }

    /// A length of reading or writing: mostly small, around pages and the largest inline write.
    pub(super) fn len(&mut self) -> usize {
        match self.random.below(100) {
            0..4 => 0,
            4..45 => self.random.index(300),
            45..60 => 4093 + self.random.index(7),
            60..80 => self.random.index(20_000),
            80..92 => 65_533 + self.random.index(7),
            92..98 => self.random.index(200_000),
            _ => (1 << 20) - 3 + self.random.index(7),
        }
    }

    pub(super) fn small_offset(&mut self) -> i64 {
        let at = match self.random.below(100) {
            0..15 => 0,
            15..40 => self.random.below(300),
            40..60 => 4093 + self.random.below(7),
            60..80 => self.random.below(20_000),
            80..95 => 65_533 + self.random.below(7),
            _ => self.random.below(1 << 21),
        };
        i64::try_from(at).unwrap_or(0)
    }

    /// Also negative ones, far ones, and ones past every limit.
    pub(super) fn offset(&mut self) -> i64 {
        match self.random.below(1000) {
            0..5 => -1,
            5..8 => i64::MAX,
            8..11 => i64::MAX - 4094,
            11..14 => 1 << 40,
            14..20 => (1 << 32) - 3 + i64::try_from(self.random.below(7)).unwrap_or(0),
            _ => self.small_offset(),
        }
    }

    /// A position: not past any limit, since each file system has another one there.
    pub(super) fn position(&mut self) -> i64 {
        let offset = self.offset();
        if offset > 1 << 43 { -offset } else { offset }
    }

    pub(super) fn seed(&mut self) -> u64 {
        if self.random.percent(8) { 0 } else { 1 + self.random.below(1_000_000) }
    }

    pub(super) fn lock_range(&mut self) -> (i64, i64) {
        let start = *self.random.pick(&[0, 0, 5, 10, 10, 20, 100, -1]);
        let len = *self.random.pick(&[0, 1, 5, 10, 10, 20, 100, -5, i64::MAX]);
        if self.random.percent(85) { (start.max(0), len.clamp(0, 100)) } else { (start, len) }
    }

    fn name(&mut self) -> String {
        match self.random.below(200) {
            0 => "<n*255>".to_owned(),
            1 => "<n*256>".to_owned(),
            2 => "<ff><fe>".to_owned(),
            _ => (*self.random.pick(&NAMES)).to_owned(),
        }
    }

    fn known_path(&mut self, wanted: impl Fn(Kind) -> bool) -> Option<String> {
        let fitting: Vec<String> =
            self.known.names.iter().filter(|(_, kind)| wanted(**kind)).map(|(name, _)| name.clone()).collect();
        (!fitting.is_empty()).then(|| self.random.pick(&fitting).clone())
    }

    fn random_path(&mut self) -> String {
        let depth = 1 + self.random.index(DEPTH);
        (0..depth).map(|_| self.name()).collect::<Vec<_>>().join("/")
    }

    fn new_path(&mut self) -> String {
        let parent = if self.random.percent(40) { None } else { self.known_path(|kind| kind == Kind::Directory) };
        let name = self.name();
        parent
            .filter(|parent| parent.split('/').count() < DEPTH)
            .map_or(name.clone(), |parent| format!("{parent}/{name}"))
    }

    fn decorate(&mut self, path: String) -> Text {
        match self.random.below(200) {
            0..3 => Text(format!("{path}/")),
            3 => Text(format!("./{path}")),
            4 => Text(format!("{path}/.")),
            5 => Text(format!("{path}/..")),
            6 => Text(format!("/../{path}")),
            7 => Text(".".to_owned()),
            8 => Text(String::new()),
            9 => Text(format!("{path}/a")),
            _ => Text(path),
        }
    }

    fn existing(&mut self, wanted: impl Fn(Kind) -> bool) -> Text {
        let path = if self.random.percent(88) { self.known_path(wanted) } else { None };
        let path = path.unwrap_or_else(|| self.random_path());
        self.decorate(path)
    }

    /// A path that mostly leads to one of these; to a directory also the root of the sequence.
    pub(super) fn path(&mut self, kind: Kind) -> Text {
        if kind == Kind::Directory && self.random.percent(15) {
            return Text(".".to_owned());
        }
        self.existing(|found| found == kind || found == Kind::Link)
    }

    /// A path and the name of an extended attribute: mostly ones that were set.
    pub(super) fn path_and_xattr(&mut self) -> (Text, Text) {
        let known = self.known.xattrs.clone();
        if !known.is_empty() && self.random.percent(65) {
            return self.random.pick(&known).clone();
        }
        (self.path_of_node(), self.xattr().0)
    }

    /// A path that mostly leads to a file or directory.
    pub(super) fn path_of_node(&mut self) -> Text {
        match self.random.below(100) {
            0..50 => self.path(Kind::File),
            50..85 => self.path(Kind::Directory),
            _ => self.path_any(),
        }
    }

    pub(super) fn path_any(&mut self) -> Text {
        if self.random.percent(2) { Text(".".to_owned()) } else { self.existing(|_| true) }
    }

    /// The same name below an open directory, now and then.
    fn at_path(&mut self, path: Text) -> At {
        let has_directory = self.known.handles(self.actor).contains(&Some(Kind::Directory));
        if has_directory && self.random.percent(12) {
            let base = self.slot_of(&[Some(Kind::Directory)]);
            return At { base: Some(base), path: Text(self.name()) };
        }
        At { base: None, path }
    }

    pub(super) fn at(&mut self, kind: Kind) -> At {
        let path = self.path(kind);
        self.at_path(path)
    }

    pub(super) fn at_any(&mut self) -> At {
        let path = self.path_any();
        self.at_path(path)
    }

    pub(super) fn at_new(&mut self) -> At {
        let path = self.new_path();
        let path = self.decorate(path);
        self.at_path(path)
    }

    pub(super) fn at_any_or_new(&mut self) -> At {
        if self.random.percent(50) { self.at_new() } else { self.at_any() }
    }

    pub(super) fn target(&mut self) -> Text {
        match self.random.below(20) {
            0 => Text("<t*4095>".to_owned()),
            1 => Text(String::new()),
            2 => Text("..".to_owned()),
            3 => Text(format!("/{}", self.random_path())),
            4 => Text(format!("../{}", self.name())),
            5..12 => Text(self.name()),
            _ => Text(self.known_path(|_| true).map_or_else(|| "a".to_owned(), |path| format!("/{path}"))),
        }
    }

    pub(super) fn perm(&mut self) -> Perm {
        let common =
            [0o644, 0o755, 0o600, 0o666, 0o777, 0o700, 0o640, 0o000, 0o444, 0o4755, 0o2755, 0o2745, 0o6777, 0o1777];
        Perm(if self.random.percent(90) {
            *self.random.pick(&common)
        } else {
            u32::try_from(self.random.below(0o10000)).unwrap_or(0)
        })
    }

    pub(super) fn directory_perm(&mut self) -> Perm {
        let common = [0o755, 0o777, 0o777, 0o777, 0o1777, 0o2777, 0o2775, 0o700];
        if self.random.percent(90) { Perm(*self.random.pick(&common)) } else { self.perm() }
    }

    pub(super) fn perm_of_any(&mut self) -> Perm {
        if self.random.percent(40) { self.directory_perm() } else { self.perm() }
    }

    pub(super) fn uid(&mut self) -> Id {
        Id(*self.random.pick(&[None, None, Some(0), Some(1000), Some(1000), Some(1001), Some(65_534)]))
    }

    pub(super) fn gid(&mut self) -> Id {
        Id(*self.random.pick(&[None, None, Some(0), Some(1000), Some(1001), Some(2000), Some(3000)]))
    }

    pub(super) fn time(&mut self) -> Time {
        let exact = [
            (0, 0),
            (1, 500),
            (1_000_000_000, 123_456_789),
            (2_147_483_653, 1),
            (4_000_000_000, 999_999_999),
            (-86_400, 0),
        ];
        match self.random.below(100) {
            0..20 => Time::Now,
            20..45 => Time::Omit,
            45..47 => Time::Exact(0, 1_000_000_000),
            _ => {
                let (seconds, nanos) = *self.random.pick(&exact);
                Time::Exact(seconds, nanos)
            }
        }
    }

    pub(super) fn mostly_follow(&mut self) -> Follow {
        if self.random.percent(80) { Follow::Yes } else { Follow::No }
    }

    /// A list for acl(5): mostly valid.
    pub(super) fn acl(&mut self) -> Acl {
        let rights = ["rwx", "rw-", "r-x", "r--", "---", "-wx", "--x", "rwx"];
        let mut entry = |who: &str| format!("{who}:{}", self.random.pick(&rights));
        let plain = [entry("u"), entry("g"), entry("o")];
        let named = [entry("u1000"), entry("u1001"), entry("g2000"), entry("g3000"), entry("m")];
        let [owner, group, other] = plain;
        let [alice, bob, two, three, mask] = named;
        let list = match self.random.below(100) {
            0..20 => vec![owner, group, other],
            20..30 => vec![owner, group, mask, other],
            30..50 => vec![owner, alice, group, mask, other],
            50..65 => vec![owner, bob, group, three, mask, other],
            65..80 => vec![owner, alice, bob, group, two, three, mask, other],
            80..88 => vec![owner, group, two, mask, other],
            88..90 => vec!["none".to_owned()],
            90..92 => vec![owner, alice, group, other],
            92..94 => vec![owner, group],
            94..95 => vec![owner, alice.clone(), alice, group, mask, other],
            95..96 => vec![owner, group, other, mask],
            96..97 => vec![owner, "z:rwx".to_owned(), group, other],
            97..98 => vec!["u:!".to_owned(), group, other],
            _ => vec![owner, bob, alice, group, mask, other],
        };
        Acl(list.join(","))
    }
}
