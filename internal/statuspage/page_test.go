package statuspage_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/statuspage"
)

func get(t testing.TB, handler http.Handler, path string) *httptest.ResponseRecorder {
	t.Helper()
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, httptest.NewRequestWithContext(context.Background(), http.MethodGet, path, nil))
	return answer
}

func serve(t testing.TB, report statuspage.Report) *httptest.ResponseRecorder {
	t.Helper()
	return get(t, statuspage.Handler(func(context.Context) statuspage.Report { return report }), "/")
}

var voidTag = regexp.MustCompile(`(<meta[^>]*)>`)

// elements reads a page as strictly as XML is read, and fails if a tag is not closed or an attribute not quoted.
func elements(t testing.TB, page string) []xml.StartElement {
	t.Helper()
	var found []xml.StartElement
	decoder := xml.NewDecoder(strings.NewReader(voidTag.ReplaceAllString(page, "$1/>")))
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatalf("not well-formed: %v\n%s", err, page)
		}
		if start, is := token.(xml.StartElement); is {
			found = append(found, start.Copy())
		}
	}
}

func attribute(element xml.StartElement, name string) (value string, found bool) {
	for _, a := range element.Attr {
		if a.Name.Local == name {
			return a.Value, true
		}
	}
	return "", false
}

func TestPageStructure(t *testing.T) {
	withHistory := load(t, "broken", brokenExtras)
	withHistory.Trend = hours(t, true).Trend(now)
	for _, report := range []statuspage.Report{
		load(t, "healthy", statuspage.Extras{}), withHistory, withHistory.Outline(),
		statuspage.Evaluate(nil, statuspage.Extras{}, now),
	} {
		count, ids, targets := map[string]int{}, map[string]bool{}, []string{}
		for _, element := range elements(t, serve(t, report).Body.String()) {
			name := element.Name.Local
			if _, drawn := attribute(element, "id"); name != "title" || !drawn { // a drawing has one of its own
				count[name]++
			}
			if id, found := attribute(element, "id"); found {
				if ids[id] {
					t.Errorf("the id %s is there twice", id)
				}
				ids[id] = true
			}
			href, _ := attribute(element, "href")
			if target, local := strings.CutPrefix(href, "#"); local {
				targets = append(targets, target)
			}
			if label, found := attribute(element, "aria-labelledby"); found {
				targets = append(targets, strings.Fields(label)...)
			}
			for _, forbidden := range []string{"style", "onclick", "src"} {
				if _, found := attribute(element, forbidden); found {
					t.Errorf("<%s> has the attribute %s", name, forbidden)
				}
			}
			if _, scoped := attribute(element, "scope"); name == "th" && !scoped {
				t.Error("a table header without a scope")
			}
		}
		for _, target := range targets {
			if !ids[target] {
				t.Errorf("nothing has the id %s", target)
			}
		}
		for _, landmark := range []string{"main", "nav", "header", "footer", "h1", "title"} {
			if count[landmark] != 1 {
				t.Errorf("%d <%s>", count[landmark], landmark)
			}
		}
		if count["script"] > 0 || count["caption"] != count["table"] {
			t.Errorf("%d scripts, %d tables, %d captions", count["script"], count["table"], count["caption"])
		}
	}
}

func TestPageAnswersFirst(t *testing.T) {
	for name, want := range map[string]string{"healthy": "Is it all right? Yes.", "broken": "Is it all right? No, critical."} {
		if page := serve(t, load(t, name, brokenExtrasOf(name))).Body.String(); !strings.Contains(page, want) {
			t.Errorf("the %s page does not say %q", name, want)
		}
	}
}

func TestPageShowsCommandsAndProgress(t *testing.T) {
	page := serve(t, load(t, "broken", brokenExtras)).Body.String()
	for _, want := range []string{"<code>certbot renew</code>", `<progress max="100" value="43">43 %</progress>`, `<a href="runbooks/MoodleDBDown">`, `<a href="./metrics">`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not have %s", want)
		}
	}
}

func brokenExtrasOf(name string) statuspage.Extras {
	if name == "broken" {
		return brokenExtras
	}
	return statuspage.Extras{}
}

const hostile = `</td><script>alert(1)</script><img src=x onerror=alert(2)>"'&\u202e`

// Names, addresses and error texts come from outside. None of them may become a tag, a link or an attribute.
func TestHostileTexts(t *testing.T) {
	encoded, err := json.Marshal(hostile)
	if err != nil {
		t.Fatal(err)
	}
	var metrics strings.Builder
	for _, line := range []string{
		`moodle_site_info{site=H,release=H,wwwroot="javascript:alert(1)"} 1`, `moodle_backup_enabled{site=H} 1`, `moodle_service_up{unit=H} 0`,
		`moodle_service_state{unit=H,state=H} 1`, `moodle_database_up{server=H} 1`, `moodle_database_info{server=H,flavor=H,version=H} 1`,
		`moodle_host_filesystem_responding{mountpoint=H} 0`, `moodle_host_filesystem_role_info{mountpoint=H,role=H} 1`,
		`moodle_certificate_not_after_timestamp_seconds{target=H,source=H} 1`, `moodle_job_running{site=H,name=H} 0`, `moodle_job_last_result{site=H,name=H} 0`,
		`moodle_scrape_collector_success{collector=H} 0`, `moodle_tasks_failing{site=H} 1`, `moodle_task_fail_delay_seconds{site=H,task=H} 86400`,
		`moodle_probe_facts_timestamp_seconds{site=H} 1`, `moodle_backup_last_success_timestamp_seconds{site=H,component=H} 1`,
	} {
		text := strings.ReplaceAll(string(encoded), `\u003c`, "<")
		text = strings.NewReplacer(`\u003e`, ">", `\u0026`, "&").Replace(text)
		metrics.WriteString(strings.ReplaceAll(line, "=H", "="+text) + "\n")
	}
	text := hostile + "`" + hostile + "`**" + hostile + "**\x1b[2J\x00"
	report := statuspage.Evaluate(parse(t, metrics.String(), now), statuspage.Extras{
		Problems: []string{text}, Version: text, Jobs: []statuspage.JobError{{Site: hostile, Job: hostile, Text: text}},
		Collectors: map[string]string{hostile: text, "database": text},
	}, now)
	page := serve(t, report).Body.String()
	for _, element := range elements(t, page) {
		if name := element.Name.Local; name == "script" || name == "img" {
			t.Errorf("<%s> got onto the page", name)
		}
		if href, _ := attribute(element, "href"); strings.Contains(href, "javascript") || strings.Contains(href, "alert") {
			t.Errorf("the link %q got onto the page", href)
		}
	}
	if !strings.Contains(page, "&lt;script&gt;alert(1)&lt;/script&gt;") {
		t.Error("the texts are not on the page at all")
	}
	var terminal strings.Builder
	if err := statuspage.WriteText(&terminal, report, false); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(terminal.String()+page, "\x1b\x00\u202e") {
		t.Error("a control character got through")
	}
}

func TestHeaders(t *testing.T) {
	answer := serve(t, load(t, "healthy", statuspage.Extras{}))
	for header, want := range map[string]string{
		"Content-Type": "text/html; charset=utf-8", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
	} {
		if got := answer.Header().Get(header); got != want {
			t.Errorf("%s: %q, want %q", header, got, want)
		}
	}
	page := answer.Body.String()
	_, rest, _ := strings.Cut(page, "<style>")
	css, _, _ := strings.Cut(rest, "</style>")
	sum := sha256.Sum256([]byte(css))
	hash := "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	policy := answer.Header().Get("Content-Security-Policy")
	if !strings.HasPrefix(policy, "default-src 'none'; style-src "+hash+";") {
		t.Errorf("the policy %q does not allow the page's own style %s and nothing else", policy, hash)
	}
}

func TestPageIsReadOnly(t *testing.T) {
	handler := statuspage.Handler(func(context.Context) statuspage.Report { return statuspage.Report{} })
	for method, want := range map[string]int{http.MethodHead: 200, http.MethodPost: 405, http.MethodDelete: 405} {
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), method, "/", nil))
		if answer.Code != want {
			t.Errorf("%s: %d, want %d", method, answer.Code, want)
		}
	}
}

// An outline is for strangers: levels, and no word about what there is on this host.
func TestOutline(t *testing.T) {
	report := load(t, "broken", brokenExtras)
	report.Trend = hours(t, true).Trend(now)
	page := serve(t, report.Outline()).Body.String()
	for _, secret := range []string{"lms", "nginx", "mysqld", "Access denied", "example.org", "<svg"} {
		if strings.Contains(page, secret) {
			t.Errorf("the outline says %q", secret)
		}
	}
	if !strings.Contains(page, "No, critical.") {
		t.Error("the outline does not answer")
	}
}

func TestJSON(t *testing.T) {
	var out strings.Builder
	if err := statuspage.WriteJSON(&out, load(t, "broken", brokenExtras)); err != nil {
		t.Fatal(err)
	}
	var read struct {
		Level    string    `json:"level"`
		Taken    time.Time `json:"taken"`
		Sections []struct {
			Name, Level string
			Lines       []struct {
				Level, Site, Subject, Value, Advice, Runbook string
				Progress                                     *float64 `json:"progress_ratio"`
			}
		} `json:"sections"`
	}
	if err := json.Unmarshal([]byte(out.String()), &read); err != nil {
		t.Fatal(err)
	}
	if read.Level != "critical" || !read.Taken.Equal(now) || len(read.Sections) != 10 {
		t.Errorf("level %q of %v in %d sections", read.Level, read.Taken, len(read.Sections))
	}
	for _, line := range read.Sections[8].Lines {
		if line.Site == "exam" && (line.Progress == nil || *line.Progress != 0.43) {
			t.Errorf("the running backup's progress is %v", line.Progress)
		}
	}
}

func TestColourIsAsked(t *testing.T) {
	report := load(t, "broken", brokenExtras)
	var plain, coloured strings.Builder
	if err := errors.Join(statuspage.WriteText(&plain, report, false), statuspage.WriteText(&coloured, report, true)); err != nil {
		t.Fatal(err)
	}
	stripped := regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(coloured.String(), "")
	if strings.Contains(plain.String(), "\x1b") || stripped != plain.String() || stripped == coloured.String() {
		t.Error("colours are more than colours, or there are none")
	}
	for _, line := range strings.Split(plain.String(), "\n") {
		if len([]rune(line)) > 80 {
			t.Errorf("longer than 80 columns: %q", line)
		}
	}
}
