package statuspage_test

import (
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var colour = regexp.MustCompile(`--([a-z-]+): #([0-9a-f]{3,6});`)

// luminance is the relative luminance of WCAG 2.2.
func luminance(t *testing.T, hex string) float64 {
	t.Helper()
	if len(hex) == 3 {
		hex = string([]byte{hex[0], hex[0], hex[1], hex[1], hex[2], hex[2]})
	}
	sum := 0.0
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		part, err := strconv.ParseUint(hex[2*i:2*i+2], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		c := float64(part) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}

// Every text on every ground that it is used on has the contrast of WCAG level AA, in both schemes.
func TestContrast(t *testing.T) {
	css, err := os.ReadFile("style.css")
	if err != nil {
		t.Fatal(err)
	}
	light, dark, _ := strings.Cut(string(css), "@media (prefers-color-scheme: dark)")
	for scheme, text := range map[string]string{"light": light, "dark": dark} {
		colours := map[string]float64{}
		for _, found := range colour.FindAllStringSubmatch(text, -1) {
			colours[found[1]] = luminance(t, found[2])
		}
		pairs := [][2]string{
			{"text", "back"}, {"text", "card"}, {"text", "code"}, {"soft", "back"}, {"soft", "card"}, {"soft", "code"}, {"link", "back"}, {"link", "card"},
			{"warning", "card"}, {"link", "warning-back"}, {"link", "critical-back"}, {"link", "unknown-back"},
		}
		for _, level := range []string{"ok", "warning", "critical", "unknown", "info"} {
			pairs = append(pairs, [2]string{level, level + "-back"}, [2]string{"text", level + "-back"})
		}
		for _, pair := range pairs {
			a, known := colours[pair[0]]
			b, also := colours[pair[1]]
			if ratio := (max(a, b) + 0.05) / (min(a, b) + 0.05); !known || !also || ratio < 4.5 {
				t.Errorf("%s: %s on %s has the contrast %.2f", scheme, pair[0], pair[1], ratio)
			}
		}
	}
}
