// Package lite is the one place that calls modernc.org/sqlite/lib, the C API
// of SQLite translated to Go. It is as thin as that API allows: a connection,
// a statement, binding, columns, result codes, and a way to stop what runs.
//
// # Memory
//
// SQLite's memory is outside of Go's heap and is reached through plain
// addresses. Nothing that Go owns is ever handed to SQLite: bytes to be bound
// are first copied, a row at a time, into memory of the connection
// ([Stmt.Stage]), and bound from there without another copy. The copy costs
// tens of nanoseconds a row, keeps a guest from changing a value while SQLite
// uses it, and leaves the checks of the race detector switched on. The other
// way, [Value.Bytes] is SQLite's own memory, valid until the statement moves.
//
// # Goroutines
//
// A connection and its statements are for one goroutine at a time; only
// [Conn.Interrupt] may be called beside it. Connections are opened without
// SQLite's own mutex.
//
// # Stopping
//
// sqlite3_interrupt alone is lost when it comes before a statement's first
// step, so each connection also has a flag that SQLite's progress handler and
// the wait for a lock look at. [Conn.Watch] ties both to a context.
//
// modernc.org/sqlite/lib promises no stable API: after an upgrade run the
// tests of package sqlite, which also check that modernc.org/libc is the
// version that modernc.org/sqlite was built with.
package lite
