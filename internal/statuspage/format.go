package statuspage

import (
	"fmt"
	"math"
	"strings"
)

// span writes a length of time in its two largest units, as a person would say it.
func span(seconds float64) string {
	units := []struct {
		name   string
		length float64
	}{{"d", 86400}, {"h", 3600}, {"min", 60}, {"s", 1}}
	if math.IsInf(seconds, 0) || math.IsNaN(seconds) || math.Abs(seconds) > 1e11 {
		return "an unknown time"
	}
	seconds = math.Floor(math.Abs(seconds))
	for i, unit := range units {
		whole := math.Floor(seconds / unit.length)
		if whole == 0 && unit.length > 1 {
			continue
		}
		text := fmt.Sprintf("%.0f %s", whole, unit.name)
		if i+1 < len(units) && whole < 10 {
			if rest := math.Floor(math.Mod(seconds, unit.length) / units[i+1].length); rest > 0 {
				text += fmt.Sprintf(" %.0f %s", rest, units[i+1].name)
			}
		}
		return text
	}
	return "0 s"
}

// brief writes a short time as exactly as it matters, and a long one as span does.
func brief(seconds float64) string {
	switch {
	case math.IsNaN(seconds) || seconds >= 60:
		return span(seconds)
	case seconds >= 0.9995:
		return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.2f", seconds), "0"), ".") + " s"
	case seconds >= 0.0095:
		return fmt.Sprintf("%.0f ms", seconds*1000)
	}
	return fmt.Sprintf("%.1f ms", max(0, seconds)*1000)
}

// size writes bytes in powers of 1024, as df -h and free -h do.
func size(bytes float64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	i := 0
	for bytes >= 1023.5 && i < len(units)-1 {
		bytes /= 1024
		i++
	}
	if i > 0 && bytes < 9.95 {
		return fmt.Sprintf("%.1f %s", bytes, units[i])
	}
	return fmt.Sprintf("%.0f %s", bytes, units[i])
}

// percent rounds down, so that 14.99 % does not look like the 15 % that it falls short of.
func percent(ratio float64) string {
	whole := ratio * 100
	if whole < 10 && whole > 0 {
		return fmt.Sprintf("%.1f %%", math.Floor(whole*10+1e-9)/10)
	}
	return fmt.Sprintf("%.0f %%", math.Floor(whole+1e-9))
}

// count writes "1 task", "2 tasks".
func count(n float64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%.0f %ss", n, noun)
}

// list joins words and leaves out those beyond the first few.
func list(words []string, most int) string {
	if len(words) <= most {
		return strings.Join(words, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(words[:most], ", "), len(words)-most)
}

// shellWord quotes what a reader is to paste into a shell: names of mounts and units come from outside.
func shellWord(text string) string {
	if strings.Trim(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-@:") == "" {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
