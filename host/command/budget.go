package command

import (
	"sync"

	"github.com/wasmhost/wasmhost/abi"
)

// Budget is how much a caller may still do, and what it has spent. It is safe for
// concurrent use.
type Budget struct {
	mu    sync.Mutex
	left  Allowance
	given Allowance
	spent Spending
}

// Allowance is what a [Budget] begins with.
type Allowance struct {
	Events int // that events/emit records
	Tasks  int // that tasks/submit submits

	Tokens  int64   // of models, into and out of them; 0 for no limit
	CostUSD float64 // of models; 0 for no limit
}

// NewBudget returns a Budget from which nothing has been taken.
func NewBudget(a Allowance) *Budget { return &Budget{left: a, given: a} }

// events takes n events, or none.
func (b *Budget) events(n int) error {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return take("events", &b.left.Events, b.given.Events, n)
}

// tasks takes n tasks, or none.
func (b *Budget) tasks(n int) error {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return take("tasks", &b.left.Tasks, b.given.Tasks, n)
}

// take names a limit as the configuration does.
func take(name string, left *int, given, n int) error {
	if n > *left {
		return abi.Errorf(abi.LimitExceeded, "%d %s, after %d of at most %d (limit: %s)", n, name, given-*left, given, name)
	}
	*left -= n
	return nil
}
