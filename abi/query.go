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
	Func   string // "count", "min" or "max"
	Column string // not used by count
}

// Query asks for rows of one collection.
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
}
