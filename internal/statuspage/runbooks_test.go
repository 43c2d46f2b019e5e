package statuspage_test

import (
	"html"
	"io/fs"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/moodle-exporter/moodle-exporter/alerts"
	"github.com/moodle-exporter/moodle-exporter/internal/statuspage"
)

func runbook(t testing.TB, name string) string {
	t.Helper()
	text, err := fs.ReadFile(alerts.Files(), "runbooks/"+name+".md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestShippedRunbooks(t *testing.T) {
	handler := statuspage.Runbooks(alerts.Files())
	index := get(t, handler, "/runbooks/").Body.String()
	for _, name := range alertNames(t) {
		if !strings.Contains(index, `<a href="`+name+`">`) {
			t.Errorf("%s is not in the list", name)
		}
		answer := get(t, handler, "/runbooks/"+name)
		page := answer.Body.String()
		if answer.Code != http.StatusOK || !strings.Contains(page, "<h1>"+name+"</h1>") || !strings.Contains(page, "<h2>Fix</h2>") {
			t.Errorf("%s: %d\n%s", name, answer.Code, page)
		}
		elements(t, page)
		_, body, _ := strings.Cut(page, "</style>")
		for _, mark := range []string{"```", "**", "|---", "\n## "} {
			if strings.Contains(body, mark) {
				t.Errorf("%s: %q is left on the page", name, mark)
			}
		}
		// Whoever follows a runbook pastes its commands, so every line of code is there, whole.
		page = html.UnescapeString(page)
		text := runbook(t, name)
		for _, code := range regexp.MustCompile("`[^`\n]+`").FindAllString(text, -1) {
			if !strings.Contains(page, "<code>"+strings.Trim(code, "`")+"</code>") {
				t.Errorf("%s: %s is not on the page", name, code)
			}
		}
	}
}

func TestNoSuchRunbook(t *testing.T) {
	handler := statuspage.Runbooks(alerts.Files())
	for _, path := range []string{"/runbooks/Nothing", "/runbooks/../alertmanager.yml", "/runbooks/MoodleDBDown.md", "/runbooks/MoodleDBDown/", "/runbooks/<script>"} {
		answer := get(t, handler, path)
		if answer.Code != http.StatusNotFound || strings.Contains(answer.Body.String(), "script") {
			t.Errorf("%s: %d %s", path, answer.Code, answer.Body)
		}
	}
}

func render(t testing.TB, text string) string {
	t.Helper()
	files := fstest.MapFS{"runbooks/Page.md": {Data: []byte(text)}, "runbooks/Other.md": {}}
	page := get(t, statuspage.Runbooks(files), "/runbooks/Page").Body.String()
	_, body, _ := strings.Cut(page, "<section>")
	body, _, _ = strings.Cut(body, "</section>")
	return strings.TrimSpace(body)
}

func TestMarkdown(t *testing.T) {
	cases := []struct{ name, text, want string }{
		{"heading", "## A & B", "<h2>A &amp; B</h2>"},
		{"paragraphs", "a\nb\n\nc", "<p>a\nb</p>\n<p>c</p>"},
		{"tag", "<script>x</script>", "<p>&lt;script&gt;x&lt;/script&gt;</p>"},
		{"code", "run `a <b> **c**` now", "<p>run <code>a &lt;b&gt; **c**</code> now</p>"},
		{"bold with code", "**never in `filedir/`**", "<p><strong>never in <code>filedir/</code></strong></p>"},
		{"fence", "```\n# <a>\n\n**x**\n```\nb", "<pre tabindex=\"0\"><code># &lt;a&gt;\n\n**x**</code></pre>\n<p>b</p>"},
		{"fence without end", "```\na", "<pre tabindex=\"0\"><code>a</code></pre>"},
		{"list", "- a\n  b\n- c", "<ul>\n<li>a\nb</li>\n<li>c</li>\n</ul>"},
		{"list after text", "t:\n1. a\n2. b", "<p>t:</p>\n<ol>\n<li>a</li>\n<li>b</li>\n</ol>"},
		{"nested", "1. a\n   - b\n\n   ```\n   c\n   ```\n2. d",
			"<ol>\n<li>a\n<ul>\n<li>b</li>\n</ul>\n<pre tabindex=\"0\"><code>c</code></pre></li>\n<li>d</li>\n</ol>"},
		{"table", "| a | b |\n|---|---|\n| `x | y` | <z> |",
			"<table>\n<thead><tr><th scope=\"col\">a</th><th scope=\"col\">b</th></tr>\n</thead>\n<tbody>\n<tr><td><code>x | y</code></td><td>&lt;z&gt;</td></tr>\n</tbody>\n</table>"},
		{"other page", "see Other, Page and Others", `<p>see <a href="Other">Other</a>, Page and Others</p>`},
		{"link", "[a](javascript:b)", "<p>[a](javascript:b)</p>"},
	}
	for _, c := range cases {
		if got := render(t, c.text); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
}

func FuzzMarkdown(f *testing.F) {
	for _, name := range []string{"MoodleDiskSpaceLow", "MoodleBackupFailed", "MoodleCronNotRunning"} {
		f.Add(runbook(f, name))
	}
	f.Add("- - - - - - - - - - a\n| `a | b\n|-|\n|**`x`**|\n``` \n<b>&amp;")
	allowed := strings.Fields("section h1 h2 h3 h4 h5 h6 p pre code ul ol li table thead tbody tr th td strong a")
	f.Fuzz(func(t *testing.T, text string) {
		for _, element := range elements(t, "<section>"+render(t, text)+"</section>") {
			if !slices.Contains(allowed, element.Name.Local) {
				t.Errorf("<%s> out of %q", element.Name.Local, text)
			}
			for _, a := range element.Attr {
				if !slices.Contains([]string{"tabindex", "scope", "href"}, a.Name.Local) || a.Name.Local == "href" && a.Value != "Other" {
					t.Errorf("%s=%q out of %q", a.Name.Local, a.Value, text)
				}
			}
		}
	})
}
