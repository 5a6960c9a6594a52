package metrics

import "github.com/wasmhost/wasmhost/abi"

// Asked is one call of a model.
type Asked struct {
	Model    string // as the configuration names it
	Code     abi.Code
	Recalled bool // its answer was recorded already

	// nil: not known.
	InputTokens, OutputTokens *int64
	CostUSD                   *float64
}

// Asked counts a call of a model. One that was recalled took nothing.
func (m *Metrics) Asked(a Asked) {
	code := a.Code.String()
	if a.Recalled {
		code = "recorded"
	}
	m.asked.WithLabelValues(a.Model, code).Inc()
	if a.Recalled || a.Code != abi.OK {
		return
	}
	if a.InputTokens != nil {
		m.tokens.WithLabelValues(a.Model, "in").Add(float64(*a.InputTokens))
	}
	if a.OutputTokens != nil {
		m.tokens.WithLabelValues(a.Model, "out").Add(float64(*a.OutputTokens))
	}
	if a.CostUSD != nil {
		m.cost.WithLabelValues(a.Model).Add(*a.CostUSD)
	} else {
		m.unpriced.WithLabelValues(a.Model).Inc()
	}
}
