package config

import (
	"fmt"
	"strings"
)

// Problem is one thing that is wrong with the configuration.
type Problem struct {
	Key     string // dotted; empty when the file as a whole cannot be read
	Source  string // as in [Entry]
	Message string // what is wrong and what is allowed
}

// String returns the problem in one line.
func (p Problem) String() string {
	if p.Key == "" {
		return p.Source + ": " + p.Message
	}
	return fmt.Sprintf("%s: %s: %s", p.Source, p.Key, p.Message)
}

// Problems is the error of [Load]: all that is wrong, in the order of the
// layers and of the keys.
type Problems []Problem

// Error returns one problem per line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.String()
	}
	if len(lines) == 1 {
		return "configuration: " + lines[0]
	}
	return fmt.Sprintf("configuration has %d problems:\n  %s", len(lines), strings.Join(lines, "\n  "))
}
