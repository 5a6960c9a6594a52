package abi

// Op compares a column with a value.
type Op string

// The operators of a [Condition].
const (
	Equal          Op = "="
	NotEqual       Op = "!="
	Less           Op = "<"
	LessOrEqual    Op = "<="
	Greater        Op = ">"
	GreaterOrEqual Op = ">="
	In             Op = "in"       // Value is []any
	Like           Op = "like"     // % and _ match as in SQL
	IsNull         Op = "is_null"  // Value is not used
	NotNull        Op = "not_null" // Value is not used
)

// Condition is one term of a filter. The terms of a query are joined by AND.
//
// Value is nil, bool, int64, float64, string, []byte, or []any of those with [In].
// Comparing with nil never matches, as in SQL; use [IsNull].
type Condition struct {
	Column string
	Op     Op
	Value  any
}

// Order is one column of an ordering. NULLs come first when ascending, last
// when descending.
type Order struct {
	Column     string
	Descending bool
}

// Aggregate asks for one number instead of rows.
type Aggregate struct {
	Func   string // "count", "min", "max", or "exists": 1 if there is a row, else 0
	Column string // not used by count and exists
}

// Query asks for rows of one collection, for what is known about collections, or
// for the rows of a query that the operator wrote.
//
// The answer is one or more batches: see [Mutation]. With Aggregates it is one
// row with a value for each of them.
type Query struct {
	Handle     string
	Collection string
	Columns    []string // nil for all, in the schema's order
	Where      []Condition
	OrderBy    []Order // nil for any order
	Limit      int64   // rows at most; 0 for no limit

	// After and Until bound the rows by their place in the order: rows behind
	// After, up to and with Until. Each has one value per column of OrderBy.
	// OrderBy must then end in a unique key, or rows that share the place of
	// After are passed over.
	After []any
	Until []any

	Aggregates []Aggregate

	// Lookup is a batch. The answer has, in the batch's order, the row of this
	// collection for each row of the batch whose Key columns are equal; rows
	// that do not exist are left out. It goes with Columns only.
	Lookup []byte
	Key    []string // nil for the primary key; the batch must have these columns

	// Describe asks what columns there are, as rows of [DescribeColumns]: of
	// Collection, or of all collections if it is empty. It goes with nothing
	// else.
	Describe bool

	// Named is the name of a query of the operator's, which knows its handle
	// and collections itself; Params are the values of its parameters, without
	// the sign in front of a name. They go with nothing else.
	Named  string
	Params map[string]any
}

// DescribeColumns are the columns of the answer to a query with Describe. The
// rows are sorted by collection and stand in the schema's order. Only what is
// granted is there.
var DescribeColumns = []string{
	"collection", // text
	"view",       // 1 if the collection cannot be written, else 0
	"column",     // text
	"type",       // as the schema declares it, may be empty
	"affinity",   // integer, real, text, blob or numeric: what stored values tend to
	"nullable",   // 1 or 0
	"generated",  // 1 if the database computes the column and it cannot be written, else 0
	"key",        // the column's place in the primary key, from 1, or 0
	"read",       // 1 if the worker was granted to read the column, else 0
	"insert",     // the same for inserting
	"update",     // and updating
	"delete",     // and for deleting rows of the collection
}
