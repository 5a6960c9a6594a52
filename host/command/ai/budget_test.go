package ai

import (
	"net/http"
	"strings"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/command"
)

func (w *world) budget(tokens int64, usd float64) *command.Budget {
	return command.NewBudget(command.Allowance{Tokens: tokens, CostUSD: usd})
}

func budgetOf(tokens int64) command.Estimate { return command.Estimate{Tokens: tokens} }

// A budget that is used up is named, and nothing is asked.
func TestBudgets(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) { stream(w, "Krill.", "stop", used) }) // 1050 tokens, 0.0025 USD
	w := newWorld(t, s.URL, nil)
	for _, test := range []struct {
		name   string
		tokens int64
		usd    float64
		asked  int64 // answers until it is used up
		limit  string
	}{
		{"tokens", 2500, 0, 3, "(limit: ai_tokens)"},   // after two 400 are left, of which the third may take 112
		{"cost", 0, 0.0062, 3, "(limit: ai_cost_usd)"}, // after two 0.0012, of which the third may cost 0.001
		{"too few for one", 100, 0, 0, "(limit: ai_tokens)"},
	} {
		before := s.asked.Load()
		c := worker(test.name, 0)
		c.Budget = w.budget(test.tokens, test.usd)
		var err error
		for c.Call < 10 && err == nil {
			c.Call++
			_, err = w.call(t.Context(), c, abi.CommandGenerate, question(nil))
		}
		wantCode(t, err, abi.LimitExceeded)
		if got := s.asked.Load() - before; got != test.asked || !strings.HasSuffix(err.Error(), test.limit) {
			t.Errorf("%s: asked %d times, want %d; %v", test.name, got, test.asked, err)
		}
		// What costs nothing goes on.
		if _, err := w.call(t.Context(), c, abi.CommandEmbed, object{"texts": []any{"a whale"}}); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	// A cost cannot be held to without a price.
	unpriced := newWorld(t, s.URL, func(m *ModelConfig) { m.Output = nil })
	c := worker("1", 1)
	c.Budget = w.budget(0, 1)
	before := s.asked.Load()
	_, err := unpriced.call(t.Context(), c, abi.CommandGenerate, question(nil))
	wantCode(t, err, abi.LimitExceeded)
	if !strings.Contains(err.Error(), "not configured") || s.asked.Load() != before {
		t.Errorf("asked %d times: %v", s.asked.Load()-before, err)
	}
}

// In a rehearsal nothing is spent: what is free is answered, what is not only
// checked.
func TestRehearse(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) { stream(w, "Krill.", "stop", used) })
	w := newWorld(t, s.URL, func(m *ModelConfig) { m.Dimension = 2 })
	c := worker("1", 1)
	c.Budget = w.budget(150, 0)
	rehearse := func(name string, params object) (object, error) {
		t.Helper()
		b, ran, err := w.router.Rehearse(t.Context(), c, name, encode(t, params))
		if ran || err != nil {
			return nil, err
		}
		return w.decode(b), nil
	}
	got := w.must(rehearse(abi.CommandGenerate, question(nil)))
	if got["text"] != "" || got["finish_reason"] != dryRun || got["model"] != "served" || got["usage"].(object)["cost_usd"] != nil {
		t.Errorf("generate: %v", got)
	}
	if _, err := rehearse(abi.CommandGenerate, question(nil)); abi.CodeOf(err) != abi.LimitExceeded {
		t.Errorf("the budget is not held: %v", err)
	}
	if _, err := rehearse(abi.CommandGenerate, object{"messages": []any{}}); abi.CodeOf(err) != abi.InvalidArgument {
		t.Errorf("params are not checked: %v", err)
	}
	c.Budget = nil
	if got := w.must(rehearse(abi.CommandEmbed, object{"model": "m", "texts": []any{"a"}})); got["vectors"].([]any)[0] != nil {
		t.Errorf("embed: %v", got)
	}
	if got := w.must(rehearse(abi.CommandEmbed, object{"texts": []any{"whale"}})); got["vectors"].([]any)[0] == nil {
		t.Errorf("embed for nothing: %v", got)
	}
	if s.asked.Load() != 0 {
		t.Errorf("the server was asked %d times", s.asked.Load())
	}
}
