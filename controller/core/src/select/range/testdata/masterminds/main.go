// Writes down what Masterminds semver answers to many ranges: `go run . > ../masterminds.txt`.
//
// First line: the versions, separated by spaces. Every other line: a range, a tab, and one digit per version
// (1: in the range) or the word error.
package main

import (
	"fmt"
	"math/rand"
	"strings"

	"github.com/Masterminds/semver/v3"
)

var versions = strings.Fields(`
0 0.0.0-0 0.0.0-alpha 0.0.0 0.0.1-alpha 0.0.1 0.0.2 0.0.3 0.0.4 0.1.0-0 0.1 0.1.1 0.2.0 0.2.3-rc.1 0.2.3 0.2.4 0.3.0 0.10.0
1 1.0.0-0 1.0.0-alpha 1.0.0-alpha.1 1.0.0-beta.2 1.0.0-beta.11 1.0.0-dev-12 1.0.0-dev-9 1.0.0 1.0.0+b 1.0.1 1.1.0 1.1.9
1.2.0-0 1.2.0-rc.1 1.2.0-rc.2 v1.2 1.2.0 1.2.1 1.2.2 1.2.3-0 1.2.3-alpine 1.2.3-beta 1.2.3-beta.1 1.2.3 1.2.4-beta 1.2.4 1.2.10
1.3.0-0 1.3.0 1.10.0 v1.99.99 2.0.0-0 2.0.0-rc.1 2.0.0 2.0.1 2.3.0 2.3.9 2.4.0-0 2.4.0 3.0.0 10.0.0 2025.07.03 2025.7.3-1
18446744073709551615.18446744073709551615.18446744073709551615 18446744073709551615.0.0-0`)

var operators = []string{"", "=", "!=", ">", "<", ">=", "=>", "<=", "=<", "~", "~>", "^"}

var partials = strings.Fields(`
* x X *-0 *-beta 0 0-0 0.x 0.0 0.0.x 0.0.0 0.0.0-0 0.0.1 0.0.3 0.0.3-alpha 0.1 0.2 0.2.3 0.2.3-rc.1 1 1-0 1.x 1.X.X 1.*.3 1.0
1.0.0-alpha 1.0.0-dev-10 1.2 1.2.x 1.2-0 1.2.*-beta v1.2 1.2.0 1.2.3 v1.2.3 1.2.3-0 1.2.3-beta 1.2.3+b 01.02.03 2 2.0 2.0.0 2.0.0-0
2025.07 18446744073709551615 18446744073709551615.18446744073709551615.18446744073709551615`)

var special = []string{
	"", " ", "||", "1 ||", "|| 1", "1||2", "1|2", "1 | 2", "1 || 2 || 3", "1,2", "1, 2", "1 ,2", ",1", "1,", "1,,2", "a", "latest",
	"1.2.3.4", "1.", ".1", "1..2", "1.2.", "1.2.3-", "1.2.3+", "1.2.3-01", "1.2.3-a..b", "1.2.3-a.", "1.2.3+a.", "1.2.3-é", "V1", "vv1",
	"> = 1", ">=  1.0", " >=1.0 ", ">=1.0<2.0", ">>1", "<>1", "!1", "! =1", "~ 1.2", "^ 1.2", "~>=1", "~^1", "1 -2", "1- 2", "1 - 2",
	"1 -  2", "1  - 2", "1 - 2 - 3", ">=1 - 2", "1 - <2", "1 - 2 || 3", "1 || 2 - 3", "1.2 - 2.3", "1.2.3 - 2", "1.x - 2.x", "v1.2 - v2.3",
	"1.0.0-alpha - 1.2", "1.2.3-beta - 2.0", "1.2-2.3", "1.2 - 2.3, !=2.0.0", "1.2 - 2.3 !=2.0.0", "1.2 - 2.3 1.3 - 2.0", ">=1.0 <0.9",
	">=1.0 <0.9 || 2", ">1 <2", ">=1.0.0-0 <2", ">=1.0 <2.0.0-0", ">=1.0, !=1.2, <2", "~1.2.3 || ^2", "^1.2 !=1.2.3", "x.x", "*.*.*", "1x",
	"1.x2", "99999999999999999999", "1.99999999999999999999", ">0-0", "*-0 <1", "* !=1.2.3", ">=1.2.3-beta !=1.2 <1.3", "1.2.3 1.2.3",
	"1.2.3 1.2.4", "!=*", "!=x !=1", "1\t2", "1\n2", "1\u00a02", ">=\t1", "1 || || 2", "1 ||| 2",
	strings.Repeat("1", 513), strings.Repeat("1||", 32) + "1", strings.Repeat("1||", 31) + "1",
}

func answer(text string) string {
	parsed, err := semver.NewConstraint(text)
	if err != nil {
		return "error"
	}
	var digits strings.Builder
	for _, version := range versions {
		if parsed.Check(semver.MustParse(version)) {
			digits.WriteByte('1')
		} else {
			digits.WriteByte('0')
		}
	}
	return digits.String()
}

func main() {
	fmt.Println(strings.Join(versions, " "))
	ranges := special
	for _, operator := range operators {
		for _, partial := range partials {
			ranges = append(ranges, operator+partial)
		}
	}
	random := rand.New(rand.NewSource(1))
	pick := func(of []string) string { return of[random.Intn(len(of))] }
	for range 600 {
		text := pick(operators) + pick(partials)
		for range random.Intn(4) {
			text += pick([]string{" ", ", ", ",", " || "}) + pick(operators) + pick(partials)
		}
		ranges = append(ranges, text)
	}
	for range 60 {
		ranges = append(ranges, pick(partials)+" - "+pick(partials)+pick([]string{"", " !=1.2.3", ", <2", " || ~0.2"}))
	}
	for _, text := range ranges {
		fmt.Printf("%q\t%s\n", text, answer(text))
	}
}
