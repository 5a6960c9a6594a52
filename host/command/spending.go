package command

import "github.com/wasmhost/wasmhost/abi"

// Spending is what was spent on models.
type Spending struct {
	Calls        int64   // that a model answered
	Recalled     int64   // of which the answer was recorded already, and cost nothing
	InputTokens  int64   // as far as the servers told
	OutputTokens int64   //
	CostUSD      float64 // as far as it is known
	Unpriced     int64   // calls of which it is not
}

// Estimate is what one call of a model takes at most, as far as can be known
// before it is made.
type Estimate struct {
	Tokens  int64
	CostUSD *float64 // nil: not known
}

// Usage is what one call of a model took. nil: not known.
type Usage struct {
	InputTokens, OutputTokens *int64
	CostUSD                   *float64
}

// Reserve takes an estimate from what is left, until Settle says what it was, or
// for good if nobody does: a call that failed may have been paid for all the same.
// A nil Budget has no end. Code: LimitExceeded, with the limit's name.
func (b *Budget) Reserve(e Estimate) error {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	g, left := b.given, b.left
	if g.Tokens > 0 && e.Tokens > left.Tokens {
		return abi.Errorf(abi.LimitExceeded, "it may take %d tokens, after %d of at most %d (limit: ai_tokens)", e.Tokens, g.Tokens-left.Tokens, g.Tokens)
	}
	if g.CostUSD > 0 {
		switch {
		case e.CostUSD == nil:
			return abi.Errorf(abi.LimitExceeded, "what the model costs is not configured, so that no cost can be held to (limit: ai_cost_usd)")
		case *e.CostUSD > left.CostUSD:
			return abi.Errorf(abi.LimitExceeded, "it may cost %.6f USD, after %.6f of at most %g (limit: ai_cost_usd)", *e.CostUSD, g.CostUSD-left.CostUSD, g.CostUSD)
		}
		b.left.CostUSD -= *e.CostUSD
	}
	b.left.Tokens -= e.Tokens
	return nil
}

// Settle puts what a call took in the place of its estimate, which stays where it
// is not known. recalled is for an answer that was not paid for now: it is taken
// from what is left, as at the first time, but is not spent.
func (b *Budget) Settle(e Estimate, u Usage, recalled bool) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if u.InputTokens != nil && u.OutputTokens != nil {
		b.left.Tokens += e.Tokens - *u.InputTokens - *u.OutputTokens
	}
	if e.CostUSD != nil && u.CostUSD != nil {
		b.left.CostUSD += *e.CostUSD - *u.CostUSD
	}
	b.spent.Calls++
	if recalled {
		b.spent.Recalled++
		return
	}
	if u.InputTokens != nil {
		b.spent.InputTokens += *u.InputTokens
	}
	if u.OutputTokens != nil {
		b.spent.OutputTokens += *u.OutputTokens
	}
	if u.CostUSD != nil {
		b.spent.CostUSD += *u.CostUSD
	} else {
		b.spent.Unpriced++
	}
}

// Release takes an estimate back: nothing was asked.
func (b *Budget) Release(e Estimate) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left.Tokens += e.Tokens
	if e.CostUSD != nil {
		b.left.CostUSD += *e.CostUSD
	}
}

// Spent returns what was spent so far.
func (b *Budget) Spent() Spending {
	if b == nil {
		return Spending{}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.spent
}
