package demo

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	_ "embed" // for the text
	"fmt"
)

// packedText is real text, one sentence per line; corpus/ATTRIBUTION.md says
// whose.
//
//go:embed corpus/sentences.txt.bz2
var packedText []byte

// sentences unpacks the text.
func sentences() ([]string, error) {
	var list []string
	lines := bufio.NewScanner(bzip2.NewReader(bytes.NewReader(packedText)))
	for lines.Scan() {
		list = append(list, lines.Text())
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("unpacking the demo's text: %w", err)
	}
	return list, nil
}
