package main

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxWords     = 64      // of a question that go to the full-text index
	maxWordBytes = 48      // longer ones are no words
	maxScan      = 8 << 10 // bytes of a question that are looked at
)

// keywords makes of a text of anybody's a query in the language of FTS5 that finds
// rows with any of its words: "whale" OR "ship". A word is a run of letters and
// digits, so there is nothing in it that could end the quotes around it, and inside
// of quotes nothing is an operator, a column or a prefix. The query has at most 64
// different words and less than 4 KiB, whatever the text. Words that are in every
// text are left out unless there are no others. It is empty if there is no word.
func keywords(text string) string {
	if len(text) > maxScan {
		text = text[:maxScan]
	}
	var words, common []string
	seen := map[string]bool{}
	for _, word := range strings.FieldsFunc(text, func(r rune) bool {
		return r == utf8.RuneError || !unicode.IsLetter(r) && !unicode.IsNumber(r) && !unicode.IsMark(r)
	}) {
		word = strings.ToLower(word)
		if len(word) > maxWordBytes || seen[word] {
			continue
		}
		seen[word] = true
		if stopWords[word] {
			common = append(common, word)
		} else {
			words = append(words, word)
		}
	}
	if len(words) == 0 {
		words = common
	}
	words = words[:min(len(words), maxWords)]
	if len(words) == 0 {
		return ""
	}
	return `"` + strings.Join(words, `" OR "`) + `"`
}

// stopWords are the words of English that say nothing of what a text is about.
var stopWords = func() map[string]bool {
	m := map[string]bool{}
	for _, word := range strings.Fields(`
		a about above after again against all also am an and any are as at be because been before being below
		between both but by can could did do does doing don down during each ever few for from further had has have
		having he her here hers herself him himself his how i if in into is it its itself just ll may me might more
		most must my myself no nor not now of off on once only or other our ours ourselves out over own re s same
		shall she should so some such t than that the their theirs them themselves then there these they this those
		through to too under until up upon us ve very was we were what when where which while who whom whose why will
		with would you your yours yourself yourselves`) {
		m[word] = true
	}
	return m
}()
