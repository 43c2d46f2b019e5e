package config

import (
	"reflect"
	"strings"
)

// keysOf lists every key that the configuration knows, at any depth.
func keysOf(t reflect.Type, keys []string) []string {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return keys
	}
	for i := range t.NumField() {
		field := t.Field(i)
		key, _, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		if key == "" {
			continue
		}
		keys = keysOf(field.Type, append(keys, key))
	}
	return keys
}

// nearest is the key with the fewest changed letters.
func nearest(word string, keys []string) string {
	best, bestDistance := "", len(word)+100
	for _, key := range keys {
		if d := distance(word, key); d < bestDistance {
			best, bestDistance = key, d
		}
	}
	return best
}

// distance is Levenshtein's: insertions, deletions and replacements from a to b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			diagonal, row[j] = row[j], min(row[j]+1, row[j-1]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
