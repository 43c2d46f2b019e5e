package loginpage

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// stayOnHost follows redirects on the site's own host, but not from https to http.
func stayOnHost(next *http.Request, via []*http.Request) error {
	first := via[0].URL
	if !strings.EqualFold(next.URL.Hostname(), first.Hostname()) || first.Scheme == "https" && next.URL.Scheme != "https" {
		return http.ErrUseLastResponse
	}
	if len(via) >= maxRedirects {
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	return nil
}

// The parts of a login page that no language, and hardly a theme, changes: lib/templates/loginform.mustache, and the id
// that \moodle_page makes of the script's path, under which a login without a password (by buttons alone) is known, too.
var (
	loginBody     = regexp.MustCompile(`(?i)<body[^>]*\sid\s*=\s*["']?page-login-index["'\s>]`)
	usernameField = regexp.MustCompile(`(?i)<input[^>]*\sname\s*=\s*["']?username["'\s/>]`)
	passwordField = regexp.MustCompile(`(?i)<input[^>]*\stype\s*=\s*["']?password["'\s/>]`)
)

// judgePage says what is wrong with an answer.
func judgePage(answer *http.Response, page []byte, jar http.CookieJar) error {
	switch code := answer.StatusCode; {
	case code == http.StatusOK:
		if loginBody.Match(page) || usernameField.Match(page) && passwordField.Match(page) {
			return nil
		}
		return fmt.Errorf("the answer of %s is no login page of Moodle", withoutQuery(answer.Request.URL))
	case signsOnElsewhere(answer, jar):
		return nil
	case code >= 300 && code < 400:
		return fmt.Errorf("%s sends visitors to another place (%s), status %d", withoutQuery(answer.Request.URL), elsewhere(answer), code)
	default:
		return fmt.Errorf("%s answers %s", withoutQuery(answer.Request.URL), answer.Status)
	}
}

// signsOnElsewhere recognises a site that sends visitors on to an identity provider (SAML, CAS, OpenID Connect). That
// they got a session, or that the answer says so, shows that it was Moodle who sent them; where a web server was told
// that the site has moved, the redirect is a permanent one.
func signsOnElsewhere(answer *http.Response, jar http.CookieJar) bool {
	to, err := answer.Location()
	if err != nil || to.Scheme != "https" {
		return false
	}
	switch answer.StatusCode {
	case http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect:
	default:
		return false
	}
	if strings.HasPrefix(answer.Header.Get("X-Redirect-By"), "Moodle") {
		return true
	}
	for _, cookie := range jar.Cookies(answer.Request.URL) {
		if strings.HasPrefix(cookie.Name, "MoodleSession") {
			return true
		}
	}
	return false
}

// elsewhere is where an answer sends visitors.
func elsewhere(answer *http.Response) string {
	to, err := answer.Location()
	if err != nil {
		return "nowhere"
	}
	return withoutQuery(to)
}

// withoutQuery leaves out of an address what may hold secrets.
func withoutQuery(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}
