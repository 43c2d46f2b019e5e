package nginx

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// directive is one directive of a configuration, with its block if it has one.
type directive struct {
	name  string
	args  []string
	block []directive
}

// Bounds of what is read: more than a server with a thousand sites has.
const (
	maxFiles = 4096
	maxFile  = 4 << 20 // bytes
	maxDepth = 32
)

var errTooDeep = errors.New("blocks or includes lie too deep in each other")

// reader reads a configuration with its includes.
type reader struct {
	dir   string // relative includes begin here
	files int
}

// readFile reads a configuration file and all that it includes.
func readFile(path string) ([]directive, error) {
	r := &reader{dir: filepath.Dir(path)}
	tree, err := r.file(path, 0)
	if err != nil {
		return nil, fmt.Errorf("read nginx configuration: %w", err)
	}
	return tree, nil
}

func (r *reader) file(path string, depth int) ([]directive, error) {
	if r.files++; r.files > maxFiles {
		return nil, fmt.Errorf("more than %d files", maxFiles)
	}
	// A pipe in a directory of includes would keep us waiting without O_NONBLOCK.
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) //nolint:gosec // the administrator's own configuration
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, fmt.Errorf("%s is no configuration file (%d bytes)", path, info.Size())
	}
	text, err := io.ReadAll(io.LimitReader(file, maxFile))
	if err != nil {
		return nil, err
	}
	tree, err := parse(&tokens{text: string(text)}, depth)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r.include(tree, depth)
}

// include puts what is included in the place of the include directives.
func (r *reader) include(in []directive, depth int) ([]directive, error) {
	if depth > maxDepth {
		return nil, errTooDeep
	}
	var out []directive
	for _, d := range in {
		if d.name != "include" || len(d.args) != 1 {
			inside, err := r.include(d.block, depth+1)
			if err != nil {
				return nil, err
			}
			d.block = inside
			out = append(out, d)
			continue
		}
		pattern := d.args[0]
		if !filepath.IsAbs(pattern) {
			pattern = filepath.Join(r.dir, pattern)
		}
		files, err := filepath.Glob(pattern)
		if err != nil {
			return nil, fmt.Errorf("include %s: %w", pattern, err)
		}
		for _, file := range files {
			more, err := r.file(file, depth+1)
			if err != nil {
				return nil, err
			}
			out = append(out, more...)
		}
	}
	return out, nil
}

// parse reads directives up to the end of the text or of the block.
func parse(t *tokens, depth int) ([]directive, error) {
	if depth > maxDepth {
		return nil, errTooDeep
	}
	var out []directive
	var words []string
	for {
		word, quoted, more := t.next()
		switch {
		case !more:
			if len(words) > 0 {
				return nil, errors.New("it ends in the middle of a directive")
			}
			return out, nil
		case word == "}" && !quoted:
			return out, nil
		case word == ";" && !quoted:
			if len(words) > 0 {
				out = append(out, directive{name: words[0], args: words[1:]})
			}
			words = nil
		case word == "{" && !quoted:
			if len(words) == 0 {
				return nil, errors.New("a block has no name")
			}
			d := directive{name: words[0], args: words[1:]}
			if strings.HasSuffix(d.name, "_by_lua_block") {
				t.skipBlock()
			} else {
				block, err := parse(t, depth+1)
				if err != nil {
					return nil, err
				}
				d.block = block
			}
			out, words = append(out, d), nil
		default:
			words = append(words, word)
		}
	}
}

// tokens cuts a configuration into words and the signs ; { }.
type tokens struct {
	text string
	pos  int
}

func (t *tokens) next() (word string, quoted, more bool) {
	for t.pos < len(t.text) {
		switch c := t.text[t.pos]; c {
		case ' ', '\t', '\r', '\n':
			t.pos++
		case '#':
			if end := strings.IndexByte(t.text[t.pos:], '\n'); end >= 0 {
				t.pos += end
			} else {
				t.pos = len(t.text)
			}
		case ';', '{', '}':
			t.pos++
			return string(c), false, true
		case '"', '\'':
			t.pos++
			return t.until(string(c), true), true, true
		default:
			return t.until(" \t\r\n;{", false), false, true
		}
	}
	return "", false, false
}

// until reads up to one of the ends, which a backslash makes an ordinary character. ${name} belongs to a word.
func (t *tokens) until(ends string, quoted bool) string {
	var word strings.Builder
	for ; t.pos < len(t.text); t.pos++ {
		c := t.text[t.pos]
		switch {
		case c == '\\' && t.pos+1 < len(t.text):
			t.pos++
			if next := t.text[t.pos]; strings.IndexByte("\"' \\;{}", next) < 0 {
				word.WriteByte(c)
			}
			word.WriteByte(t.text[t.pos])
		case c == '{' && !quoted && strings.HasSuffix(word.String(), "$"):
			word.WriteByte(c)
		case strings.IndexByte(ends, c) >= 0:
			if quoted {
				t.pos++
			}
			return word.String()
		default:
			word.WriteByte(c)
		}
	}
	return word.String()
}

// skipBlock passes over a block in another language up to its closing brace.
func (t *tokens) skipBlock() {
	for depth := 1; t.pos < len(t.text) && depth > 0; t.pos++ {
		switch t.text[t.pos] {
		case '{':
			depth++
		case '}':
			depth--
		}
	}
}
