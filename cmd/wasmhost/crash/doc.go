// Package crash has no code of its own: its test crashes the wasmhost binary
// while the archive worker moves rows from one database to another, in small
// pages, and looks for rows that are lost or doubled. A short version runs with
// the other tests; `make crash` runs all of it.
//
// # What is tried
//
// Kills. The binary runs under ptrace and is killed with SIGKILL right before
// and right after each fsync and fdatasync that it makes on a database file or
// its folder, from its start to its regular end, and at writes, truncations and
// removals chosen at random. Then both databases are looked at, as copies. In a
// third of the cases the host is started and killed once more. At last it is
// started and left to finish.
//
// Power cuts. The system calls of one run are recorded, with what they wrote.
// After each of them the power goes: what is then on the disk is computed, once
// as only what was synced, and several times with some of the rest, see below.
// SQLite recovers that, the databases are looked at, and behind one in sixteen
// the host is started and left to finish.
//
// The host's own database is one of the files at all these points.
//
// # What must hold
//
// After every crash each row is in one of the two databases at least, byte for
// byte as it was, and all three databases pass SQLite's integrity check. In the
// end each row is in exactly one of them, the task is completed, and its result
// and its events, each once and in order, are those of a run without a crash.
//
// An atomic task of another worker is crashed in the same ways (TestAtomicCrash):
// its rows are all there or none, in the end each once. The same worker without
// atomic, which is delivered again and writes again, has to be found out.
//
// The wrong programs (see wrong) run under the same harness and must lose rows,
// or double them. A harness that lets them pass fails.
//
// # What is assumed of the disk
//
//   - A sync that returned is kept: drives do not lie about it.
//   - A sector of 512 bytes is written whole or not at all; sectors that no sync
//     ordered reach the disk in any order, and do no harm to their neighbours.
//     Where a file grew and its data did not arrive, it reads as zeros.
//   - A name that is new or removed is so for sure once its folder was synced, and
//     before that perhaps. The changes of one name happen in their order; those of
//     several do not.
//   - What was on the disk before the task began stays as it was: the
//     configuration, the workers, the compiled code, the host's id.
//
// The index of a WAL (-shm) is mapped memory, and gone after a power cut. After a
// kill it is left as it is.
//
// # What keeps the harness honest
//
// After every run the recording is replayed, and must give the bytes of the
// files on disk. So a change that is made by a system call that the harness does
// not know is an error. All that is random comes from a seed, which is printed;
// which thread of the host runs when does not, so that a kill may not repeat
// exactly.
package crash
