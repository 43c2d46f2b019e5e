package database

import (
	"strings"
)

// errInsert is an INSERT with anything but values: an expression could read files, or other schemas.
var errInsert = refusedError("INSERT of something other than values")

// checkInsert makes sure that an INSERT puts nothing but literal values into one table, and names the table.
func checkInsert(text string) (table string, err error) {
	t := tokens{text: text}
	name := t.readQuoted(len(insertInto)-1, false)
	at := name.to
	rest := strings.TrimLeft(text[at:], " \n")
	if strings.HasPrefix(rest, "(`") {
		at = len(text) - len(rest) + 1
		for {
			column := t.readQuoted(at, false)
			at = column.to
			if !strings.HasPrefix(text[at:], ", `") {
				break
			}
			at += 2
		}
		if !strings.HasPrefix(text[at:], ") ") {
			return "", errInsert
		}
		rest = text[at+2:]
	}
	values, found := strings.CutPrefix(rest, "VALUES")
	if !found || !onlyValues(values) {
		return "", errInsert
	}
	return name.value, nil
}

// plain are the characters of numbers, and those between values. The e of 1e-05 and the x of 0x are looked at
// as words.
var plain = [256]bool{
	'0': true, '1': true, '2': true, '3': true, '4': true, '5': true, '6': true, '7': true, '8': true, '9': true,
	'(': true, ')': true, ',': true, '-': true, '+': true, '.': true, ' ': true, '\n': true,
}

// onlyValues says whether nothing else than values stands behind VALUES.
func onlyValues(text string) bool {
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case plain[c]:
			i++
		case c == '\'':
			i++
			for i < len(text) && text[i] != '\'' {
				if text[i] == '\\' {
					i++
				}
				i++
			}
			i++
		case wordByte(c):
			begin := i
			for i < len(text) && wordByte(text[i]) {
				i++
			}
			// A number is one word with its letters: 0xFF, or 1e of 1e-05.
			for begin > 0 && text[begin-1] >= '0' && text[begin-1] <= '9' {
				begin--
			}
			if !valueWord(text[begin:i]) {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// valueWord says whether a word is a literal value, or stands before one.
func valueWord(word string) bool {
	switch word {
	case "NULL", "_binary", "x", "X", "b", "DEFAULT":
		return true
	}
	if digits, hex := strings.CutPrefix(word, "0x"); hex {
		return strings.Trim(digits, "0123456789abcdefABCDEF") == ""
	}
	digits := strings.TrimLeft(word, "0123456789")
	return len(digits) < len(word) && strings.Trim(digits, "0123456789") == "e" || digits == "e"
}
