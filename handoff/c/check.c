/* Checks what reads messages, with words of every kind. */
#include "ssmd_handoff.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures;

static void check(const char *message, const char *key, const char *want)
{
	char value[16];
	char *copy = malloc(strlen(message) + 1); /* so that a byte too far is noticed */
	ssize_t n;

	if (copy == NULL)
		abort();
	strcpy(copy, message);
	n = ssmd_handoff_string(copy, key, value, sizeof value);
	if (want == NULL ? n >= 0 : n != (ssize_t)strlen(want) || strcmp(value, want) != 0) {
		printf("%s of %s: %ld, want %s\n", key, message, (long)n, want ? want : "none");
		failures++;
	}
	(void)ssmd_handoff_type(copy);
	free(copy);
}

int main(void)
{
	char small[3];

	check("{\"type\":\"answer\"}", "type", "answer");
	check(" { \"a\" : [1,{\"type\":\"x\"},\"]\"] , \"type\" : \"b\" } ", "type", "b");
	check("{\"a\":{\"type\":\"no\"},\"type\":\"yes\"}", "type", "yes");
	check("{\"a\\\"type\":\"no\",\"type\":\"a\\\"\\\\\\n\\u0041\"}", "type", "a\"\\\n\\u0041");
	check("{\"type\":5,\"x\":\"\"}", "type", NULL);
	check("{\"type\":5,\"x\":\"\"}", "x", "");
	check("{\"type\":\"0123456789012345\"}", "type", NULL);
	check("{\"type\":\"012345678901234\"}", "type", "012345678901234");
	check("", "type", NULL);
	check("{", "type", NULL);
	check("{\"type", "type", NULL);
	check("{\"type\\", "type", NULL);
	check("{\"type\"", "type", NULL);
	check("{\"type\":", "type", NULL);
	check("{\"type\":\"", "type", NULL);
	check("{\"type\":\"a\\", "type", NULL);
	check("{\"a\":\"b\\", "type", NULL);
	check("{\"a\":[[[", "type", NULL);
	check("{\"a\":]", "type", NULL);
	check("[\"type\",\"x\"]", "type", NULL);
	check("{\"a\":1,}", "type", NULL);
	if (ssmd_handoff_string("{\"a\":\"xyz\"}", "a", small, sizeof small) >= 0 || errno != EMSGSIZE ||
	    ssmd_handoff_string("{\"a\":\"\"}", "a", small, 0) >= 0 || errno != EMSGSIZE) {
		printf("a value that is too long was taken\n");
		failures++;
	}
	if (ssmd_handoff_type("{\"type\":\"ended\"}") != SSMD_HANDOFF_ENDED ||
	    ssmd_handoff_type("{\"type\":\"refused\"}") != SSMD_HANDOFF_REFUSED ||
	    ssmd_handoff_type("{\"type\":\"a type that is too long for it\"}") != SSMD_HANDOFF_EVENT) {
		printf("types are mixed up\n");
		failures++;
	}
	if (ssmd_handoff_open("/nonexistent/s", 0, "{}", small, sizeof small) >= 0 || errno != ENOENT ||
	    ssmd_handoff_open("/nonexistent/s", -1, "{}", small, sizeof small) >= 0 || errno != EBADF ||
	    ssmd_handoff_put(-1, "") >= 0 || errno != EMSGSIZE) {
		printf("errors are mixed up\n");
		failures++;
	}
	return failures != 0;
}
