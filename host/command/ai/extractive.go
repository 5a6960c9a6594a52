package ai

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/sdk/embed"
)

const (
	maxSentences = 3    // of an answer
	leastScore   = 0.25 // cosine below which a sentence has nothing to do with a question
	leastWords   = 3    // of a sentence that says something

	noMatch = "no_match" // the finish reason of an answer without any
)

// extractive answers with sentences of what it was given: it finds, and writes
// nothing of its own.
type extractive struct{}

// sentence is one that might be in the answer.
type sentence struct {
	text  string
	at    int
	score float64
}

// Generate implements generator. The question is the last message of the user;
// the answer is taken from the context and from the messages before it.
func (extractive) Generate(ctx context.Context, _ string, p *prompt) (*answer, error) {
	asked := len(p.Messages) - 1
	for i, m := range p.Messages {
		if m.Role == "user" {
			asked = i
		}
	}
	question := p.Messages[asked].Content
	wanted := embed.Text(question)
	texts := slices.Clone(p.Context)
	for _, m := range p.Messages[:asked] {
		if m.Role != "system" {
			texts = append(texts, m.Content)
		}
	}
	var found []sentence
	seen := map[string]bool{strings.TrimSpace(question): true} // what is asked does not answer itself
	for _, text := range texts {
		if err := ctx.Err(); err != nil {
			return nil, abi.Errorf(abi.CodeOf(err), "looking for an answer: %w", err)
		}
		for s := range sentences(text) {
			if seen[s] || len(strings.Fields(s)) < leastWords {
				continue
			}
			seen[s] = true
			if score := dot(wanted, embed.Text(s)); score >= leastScore {
				found = append(found, sentence{s, len(seen), score})
			}
		}
	}
	slices.SortStableFunc(found, func(a, b sentence) int { return cmp.Compare(b.score, a.score) })
	a := &answer{Model: embed.Model, FinishReason: "stop"}
	room := p.MaxTokens * bytesOfToken
	var chosen []sentence
	for _, s := range found[:min(len(found), maxSentences)] {
		if room -= int64(len(s.text)) + 1; room < 0 {
			a.FinishReason = "length"
			break
		}
		chosen = append(chosen, s)
	}
	if len(found) == 0 {
		a.FinishReason = noMatch
	}
	slices.SortFunc(chosen, func(a, b sentence) int { return a.at - b.at }) // as they were told
	for i, s := range chosen {
		if i > 0 {
			a.Text += " "
		}
		a.Text += s.text
	}
	return a, nil
}

// dot is the cosine of two vectors of length 1; 0 if one is nil.
func dot(a, b []float32) (sum float64) {
	if a == nil || b == nil {
		return 0
	}
	for i, x := range a {
		sum += float64(x) * float64(b[i])
	}
	return sum
}

// sentences cuts a text behind what ends a sentence, and at lines.
func sentences(text string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for line := range strings.Lines(text) {
			for line != "" {
				end := len(line)
				for i := 0; i+1 < len(line); i++ {
					if strings.IndexByte(".!?", line[i]) >= 0 && (line[i+1] == ' ' || line[i+1] == '\n') {
						end = i + 1
						break
					}
				}
				if s := strings.TrimSpace(line[:end]); s != "" && !yield(s) {
					return
				}
				line = line[end:]
			}
		}
	}
}
