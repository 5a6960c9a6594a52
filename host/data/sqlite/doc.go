// Package sqlite serves handles from SQLite database files: it is a
// [data.Store].
//
// # Connections
//
// A [Store] has a few read connections, opened when they are first needed, and
// one connection that writes. A cursor holds a read connection, and with it a
// read transaction, from Open until it is closed or read to its end; when all
// are held, Open waits until its context ends. A long read transaction keeps a
// WAL from being reset and, without WAL, keeps writers out, so cursors are to
// be read and closed. Writers queue for the one connection; BEGIN IMMEDIATE
// then waits for other programs for Config.BusyTimeout at most.
//
// A file is best served by one Store that writes: several compete for it with
// time-outs instead of queueing, as with other programs. A Store knows of no
// others: who opens several under different names compares their files and
// refuses.
//
// # Memory
//
// Each connection keeps a bounded number of statements. Page caches are one pool
// for the process: the connections may have together what Config.CacheKiB gives
// each of them, whoever needs it ([PageCache]). Beyond that a connection has what
// it binds and sorts. SQLite's limits on its whole heap have no effect in the
// build that this module uses, which does not count it.
//
// # What is kept as it is
//
// The database may belong to another program. Its journal mode is never
// changed, nor is it created when it does not exist. Foreign keys are
// enforced, triggers run. The writer commits with synchronous=FULL: what a
// Write returned survives a power failure as far as the disk keeps its word.
//
// Values keep their storage class and their bytes, invalid UTF-8 and empty
// ones included, as far as the column's affinity lets them: a REAL column
// makes an integer a float, as SQLite always does, and not-a-number is NULL.
// In a database with UTF-16 encoding TEXT is converted, and must be valid.
//
// # When the file is replaced
//
// Another file may be put in the place of the one that is served, or that be
// removed. A Store looks for it before each query, and before and after each
// commit; then it serves nothing any more, with abi.Unavailable, and is to be
// closed and opened anew ([Store.Moved]). A batch that was committed to the old
// file in the moment that it was replaced is an error, too. What the Store never
// does is to read the new file while the old one's write-ahead log is beside it
// ([Store.Leftover]), or to change either.
//
// # Names
//
// Collections are the ordinary tables and, for reading, the views. Virtual
// tables, their shadow tables, names that begin with sqlite_, and the empty name
// do not exist.
// Names must be spelled as in the schema. The schema is read again whenever
// its version has changed, so a column that another program adds is there for
// the next call. Generated columns can be read; a mutation without Columns
// passes over those in its batch, and one that names them is refused.
//
// # Grants
//
// A call sees of the schema what its scope has: see seen.go, where the columns
// of each verb are picked, and the authorizer that stands behind that. The
// condition of a grant is a term of every statement; an insert or update that
// could leave it returns the condition for each row, and one that does not hold
// undoes the batch. Views, triggers and the actions of foreign keys have the
// rights of the schema's owner. Errors of a scope that goes by collection leave
// out what SQLite said.
//
// The operator's statements, [Store.Select], may read everything and do nothing
// else: the authorizer, sqlite3_stmt_readonly and, outside of a transaction, a
// read-only connection each see to it.
//
// # Queries
//
// Comparisons follow the column's affinity and collation. Like tells upper
// from lower case, unlike SQLite's own operator, to mean the same on every
// store. Aggregates answer with columns named count, min(c) and max(c).
//
// After and Until become a comparison of row values, (a, b) > (?, ?), which an
// index on (a, b) serves, wherever that is correct: when all columns have the
// same direction and NULL cannot be on the wrong side. Otherwise they are
// spelled out, with a plain bound on the first column where one holds. The one
// case without any use of an index is a descending first column that can be
// NULL.
//
// # Writes
//
// A Write waits in a line for the one connection that writes. Nobody works for
// the line: who is first in it writes its own batch and, in the same
// transaction, those that wait behind it, and passes the lead on after the
// commit, when all of them are answered. Callers (data.WithCaller) have their
// turns one after another, a batch each. A transaction takes in what is there
// already, up to a number, a size and a time, and waits for nothing to come.
//
// Each batch has a savepoint, so that its failure is its own: a constraint,
// deferred foreign keys among them, a deadline, a cancel. A batch is not done
// before the commit: until then its deadline takes it out, and with it what was
// written beside it. Those others, and what SQLite rolls back when it must
// interrupt a statement that writes, go again by themselves, each in a
// transaction of its own, so that none has to go a third time; so does a batch
// that makes others wait for long. Once COMMIT writes, its outcome is what all
// are answered: when it fails, none of them happened.
//
// InsertNew and Upsert need a Key that is the primary key or has a unique
// index. Expect compares storage class and bytes: 1, 1.0 and '1' differ.
// A Key of update, delete or a lookup that finds more than one row is a
// Conflict.
//
// # Transactions
//
// Begin waits in the line, and keeps the lead until the transaction is over: see
// tx.go. Its cursors share the connection that writes, so each has a statement of its
// own; an interrupt, which ends all that runs on a connection, ends the
// transaction. Commit writes a marker into the table wasmhost_effects of the same
// database, which is no collection: see effect.go.
package sqlite
