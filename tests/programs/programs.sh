#!/usr/bin/env bash
# Real programs on a volume, each with a check of what it left behind.
#
#   programs.sh MOUNT_A MOUNT_B [PROGRAM...]
#
# MOUNT_A and MOUNT_B are two mounts of one volume (or twice the same directory, to see what a
# local disk does). Prints one line a program and ends with "N passed, N failed"; exits 1 when one
# failed. Work is done in a directory of its own on the volume and in a scratch directory, both
# removed at the end. Runs as root: the database refuses to, so it runs as "nobody".
set -u

all=(tar rsync git sqlite_rollback_two_hosts sqlite_wal postgres redis cargo npm)
[ $# -ge 2 ] || { sed -n '2,10p' "$0"; exit 2; }
mount_a=$1 mount_b=$2
shift 2
[ $# -gt 0 ] || set -- "${all[@]}"

# A program that is not there is no program that works.
needs() {
    case $1 in
        tar) echo tar ;; rsync) echo rsync ;; git) echo git ;;
        sqlite_*) echo sqlite3 ;;
        redis) echo redis-server redis-cli ;;
        cargo) echo cargo cc ;;
        npm) echo npm node ;;
        postgres) ls -d /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 && echo setpriv || echo initdb ;;
        *) echo "programs.sh: there is no $1; there are: ${all[*]}" >&2; return 1 ;;
    esac
}
for program in "$@"; do
    list=$(needs "$program") || exit 2
    for needed in $list diff awk; do
        command -v "$needed" >/dev/null || { echo "programs.sh: $program needs $needed: make programs installs it" >&2; exit 2; }
    done
done

name=programs.$$
a=$mount_a/$name b=$mount_b/$name
scratch=$(mktemp -d)
mkdir "$a" || exit 2
chmod 777 "$scratch" "$a"
trap 'rm -rf "$a" "$scratch"' EXIT

# A real source tree, from what is on the machine.
source_tree() {
    if [ ! -d "$scratch/tree" ]; then
        mkdir "$scratch/tree"
        tar -C / --format=posix -cf - usr/include 2>/dev/null | tar -C "$scratch/tree" -xf -
        ln -s usr/include/stdio.h "$scratch/tree/link"
        chmod 4750 "$scratch/tree/usr/include/stdio.h"
    fi
    echo "$scratch/tree"
}

same_tree() { # the two directories hold the same names, types, modes, owners, times and bytes
    diff <(listing "$1") <(listing "$2") && diff -r --no-dereference "$1" "$2"
}

listing() {
    (cd "$1" && find . -printf '%P %y %m %U:%G %l ' \( -type d -printf '\n' -o -printf '%s %T@ %n\n' \) | LC_ALL=C sort)
}

tar_() {
    local tree
    tree=$(source_tree)
    tar -C "$tree" --format=posix -cf - . | tar -C "$a" --one-top-level=tar -xpf - &&
        same_tree "$tree" "$b/tar" &&
        tar -C "$b/tar" --format=posix -cf - . | tar -C "$scratch" --one-top-level=tar-back -xpf - &&
        same_tree "$tree" "$scratch/tar-back"
}

rsync_() {
    local tree
    tree=$(source_tree)
    rsync -aHAX "$tree/" "$a/rsync/" &&
        [ -z "$(rsync -aHAXc --itemize-changes --dry-run "$tree/" "$b/rsync/")" ] &&
        rsync -aHAX "$b/rsync/" "$scratch/rsync-back/" && same_tree "$tree" "$scratch/rsync-back"
}

git_() {
    local tree count
    tree=$(source_tree)
    export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=t GIT_AUTHOR_EMAIL=t@t GIT_COMMITTER_NAME=t GIT_COMMITTER_EMAIL=t@t
    cp -r "$tree/usr/include/linux" "$a/repo" &&
        git -C "$a/repo" init -q && git -C "$a/repo" add -A && git -C "$a/repo" commit -qm one &&
        for i in 1 2 3; do
            echo "$i" >>"$a/repo/new" && git -C "$a/repo" add new && git -C "$a/repo" commit -qm "$i" || return 1
        done &&
        git -C "$a/repo" gc -q && git -C "$a/repo" fsck --full --strict &&
        git clone -q --no-local "$b/repo" "$b/clone" && git -C "$a/clone" fsck --full --strict &&
        [ -z "$(git -C "$a/clone" status --porcelain)" ] && count=$(git -C "$a/clone" rev-list --count HEAD) &&
        [ "$count" = 4 ] && diff -r --exclude .git "$a/repo" "$b/clone"
}

sqlite_rollback_two_hosts() {
    local rounds=20 i
    sqlite3 "$a/r.db" 'pragma journal_mode=delete; create table t(host text, n integer);' >/dev/null || return 1
    for i in $(seq $rounds); do
        sqlite3 -cmd '.timeout 10000' "$a/r.db" "begin immediate; insert into t values('a', $i); insert into t select 'a2', n from t where n=$i and host='a'; commit;" &&
            sqlite3 -cmd '.timeout 10000' "$b/r.db" "begin immediate; insert into t values('b', $i); commit;" || return 1
    done
    # And at the same time: locks must exclude.
    for host in a b; do
        for i in $(seq $rounds); do
            sqlite3 -cmd '.timeout 20000' "${!host}/r.db" "begin immediate; insert into t select 'both', count(*) from t; commit;" || echo "$host $i" >>"$scratch/sqlite-failed"
        done &
    done
    wait
    [ ! -e "$scratch/sqlite-failed" ] &&
        [ "$(sqlite3 "$b/r.db" 'pragma integrity_check')" = ok ] &&
        [ "$(sqlite3 "$a/r.db" 'select count(*), count(distinct n) from t where host="both"')" = "40|40" ] &&
        [ "$(sqlite3 "$a/r.db" 'select count(*) from t')" = 100 ]
}

sqlite_wal() {
    sqlite3 "$a/w.db" 'pragma journal_mode=wal; create table t(n integer primary key, v text);' >/dev/null || return 1
    local w
    for w in 1 2 3; do
        (for i in $(seq 30); do
            sqlite3 -cmd '.timeout 20000' "$a/w.db" "insert into t(v) values(hex(randomblob(500)))" || exit 1
        done) || echo "$w" >>"$scratch/wal-failed" &
    done
    wait
    [ ! -e "$scratch/wal-failed" ] && [ "$(sqlite3 "$a/w.db" 'select count(*) from t')" = 90 ] &&
        [ "$(sqlite3 "$a/w.db" 'pragma integrity_check')" = ok ] &&
        [ "$(sqlite3 "$a/w.db" 'pragma wal_checkpoint(truncate)')" = "0|0|0" ] &&
        [ "$(sqlite3 "$b/w.db" 'pragma integrity_check')" = ok ]
}

as_nobody() { setpriv --reuid=nobody --regid=nogroup --clear-groups env HOME="$scratch" "$@"; }

postgres() {
    local bin data=$a/pg sockets=$scratch/pg status
    bin=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1) || return 1
    mkdir "$data" "$sockets" && chown nobody "$data" "$sockets" && chmod 700 "$data" || return 1
    as_nobody "$bin/initdb" -D "$data" -k --auth=trust -U bench &&
        as_nobody "$bin/pg_ctl" -D "$data" -w -t 60 -l "$sockets/log" -o "-k $sockets -c listen_addresses='' -c shared_buffers=32MB" start || return 1
    as_nobody "$bin/pgbench" -h "$sockets" -U bench -q -i -s 2 postgres &&
        as_nobody "$bin/pgbench" -h "$sockets" -U bench -c 4 -j 2 -t 100 postgres &&
        [ "$(as_nobody "$bin/psql" -h "$sockets" -U bench -At -c 'select count(*) from pgbench_history' postgres)" = 400 ] &&
        as_nobody "$bin/psql" -h "$sockets" -U bench -At -c 'create extension amcheck; select count(bt_index_check(oid)) from pg_class where relkind = $$i$$ and relam = 403' postgres
    status=$?
    # Immediate: as a crash, so that recovery reads the log.
    as_nobody "$bin/pg_ctl" -D "$data" -m immediate -w stop || return 1
    [ $status = 0 ] &&
        as_nobody "$bin/pg_ctl" -D "$data" -w -t 60 -l "$sockets/log" -o "-k $sockets -c listen_addresses=''" start &&
        [ "$(as_nobody "$bin/psql" -h "$sockets" -U bench -At -c 'select count(*) from pgbench_history' postgres)" = 400 ]
    status=$?
    as_nobody "$bin/pg_ctl" -D "$data" -m fast -w stop || return 1
    [ $status = 0 ] && "$bin/pg_checksums" --check -D "$data"
}

redis() {
    local pid socket=$scratch/redis.sock i
    mkdir "$a/redis" || return 1
    start() {
        redis-server --port 0 --unixsocket "$socket" --dir "$a/redis" --appendonly yes --appendfsync always \
            --save '' --daemonize no >"$scratch/redis.log" 2>&1 &
        pid=$!
        for i in $(seq 100); do
            [ "$(redis-cli -s "$socket" ping 2>/dev/null)" = PONG ] && return 0
            sleep 0.1
        done
        return 1
    }
    start || return 1
    for i in $(seq 500); do echo "set key:$i value:$i"; done | redis-cli -s "$socket" >/dev/null &&
        redis-cli -s "$socket" bgrewriteaof >/dev/null
    kill -9 "$pid" && wait "$pid" 2>/dev/null
    start || return 1
    local size last
    size=$(redis-cli -s "$socket" dbsize) last=$(redis-cli -s "$socket" get key:500)
    kill "$pid" && wait "$pid"
    [ "$size" = 500 ] && [ "$last" = value:500 ]
}

cargo_() {
    mkdir -p "$a/crate/src" &&
        printf '[package]\nname = "probe"\nversion = "0.1.0"\nedition = "2021"\n[workspace]\n' >"$a/crate/Cargo.toml" &&
        printf 'mod part;\nfn main() { println!("{}", part::answer()); }\n' >"$a/crate/src/main.rs" &&
        printf 'pub fn answer() -> u32 { 42 }\n#[test]\nfn is_right() { assert_eq!(answer(), 42); }\n' >"$a/crate/src/part.rs" &&
        (cd "$a/crate" && unset CARGO_TARGET_DIR && cargo build -q --offline && cargo test -q --offline) &&
        [ "$("$b/crate/target/debug/probe")" = 42 ] &&
        # A build again has nothing to do, seen from the other host: times and names are exact.
        (cd "$b/crate" && unset CARGO_TARGET_DIR && cargo build --offline 2>&1 | grep -q Finished)
}

npm_() {
    mkdir "$a/app" && (
        cd "$a/app" && npm init -y >/dev/null && npm install --no-audit --no-fund --loglevel=error express@4
    ) && (cd "$b/app" && node -e 'const e = require("express"); if (typeof e() !== "function") process.exit(1)') &&
        (cd "$b/app" && npm ls >/dev/null)
}

passed=0 failed=0
for program in "$@"; do
    function=$program
    declare -F "${program}_" >/dev/null && function=${program}_
    started=$(date +%s.%N)
    if "$function" >"$scratch/$program.out" 2>&1; then
        passed=$((passed + 1)) verdict=ok
    else
        failed=$((failed + 1)) verdict=FAILED
    fi
    printf '%-28s %-7s %6.1f s\n' "$program" "$verdict" "$(echo "$(date +%s.%N) $started" | awk '{print $1-$2}')"
    [ $verdict = ok ] || tail -n 15 "$scratch/$program.out" | sed 's/^/    /'
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
