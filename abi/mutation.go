package abi

// Verb says what a [Mutation] does with its rows.
type Verb string

// The verbs of version 1.
const (
	Insert    Verb = "insert"     // a row that exists is a Conflict
	Upsert    Verb = "upsert"     // a row that exists gets the new values
	InsertNew Verb = "insert_new" // a row that exists is left as it is
	Update    Verb = "update"     // sets Columns of the row with this Key
	Delete    Verb = "delete"     // deletes the row with this Key
)

// Mutation changes rows of one collection. It is the head of a batch: the rows
// themselves travel beside it, exactly as a query returned them, so that a
// worker that moves rows never decodes them.
//
// A batch is a msgpack array of column names, followed by any number of rows,
// each a msgpack array with one value per name:
//
//	[id, body] ["a", "hello"] ["b", nil] …
//
// Several mutations on one handle can be sent as one atomic batch; their
// batches stand one behind the other and Size says where each ends.
type Mutation struct {
	Handle     string
	Collection string
	Verb       Verb

	// Columns are the columns of the batch that are written: nil for all of
	// them (for Update: all but Key). Not used by Delete.
	Columns []string

	// Key names the columns that identify a row for Upsert, InsertNew, Update
	// and Delete: nil for the primary key. The batch must have them.
	Key []string

	// Expect names columns of the batch that must still have the batch's value
	// for Update and Delete to apply to a row. NULL equals NULL here.
	Expect []string

	Size int64 // bytes of this mutation's batch; 0 for all that is left
}

// WriteResult says what became of one [Mutation].
type WriteResult struct {
	Applied   int64   // rows inserted, updated or deleted
	Unapplied []int64 // indices in the batch of the rows that were not: existed already, not found, or not as expected
}
