package cli

import "strings"

// codeText returns the explanation of a code of errors and warnings, which the events have
// (events.go); "" if there is no such code. For "codes" it returns a line for each code: its
// name and the first sentence of its explanation. In codes.txt a paragraph is a code, and then
// what it means, why it happens and what to do. The names are stable: programs compare them.
func codeText(code string) (string, error) {
	codes, err := textOf(packedTexts, "codes.txt")
	if err != nil {
		return "", err
	}
	table := ""
	for _, paragraph := range strings.Split(strings.TrimSuffix(codes, "\n"), "\n\n") {
		name, text, _ := strings.Cut(paragraph, "\n")
		if name == code {
			return text + "\n", nil
		}
		line, _, _ := strings.Cut(text, "\n")
		line, _, _ = strings.Cut(line+" ", ". ")
		table += (name + "                ")[:16] + line + ".\n"
	}
	if code != "codes" {
		table = ""
	}
	return table, nil
}
