/* Says how a C library finds the image that it runs in, one fact a line. Built statically it asks no
 * libc of the image; then the account is read from the file, not through NSS. */
#include <dlfcn.h>
#include <fcntl.h>
#include <grp.h>
#include <locale.h>
#include <netdb.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct passwd *account(void) {
#ifdef STATIC
    FILE *file = fopen("/etc/passwd", "r");
    for (struct passwd *found; file && (found = fgetpwent(file));)
        if (found->pw_uid == getuid()) return found;
    return NULL;
#else
    return getpwuid(getuid());
#endif
}

static void writable(const char *folder) {
    char path[4096];
    snprintf(path, sizeof path, "%s/written-by-probe", folder);
    int file = open(path, O_CREAT | O_EXCL | O_WRONLY, 0600);
    printf("write %s: %s\n", folder, file >= 0 && write(file, "x", 1) == 1 ? "yes" : "no");
}

int main(int count, char **arguments) {
    char folder[4096];
    struct passwd *user = account();
    printf("ids: %d:%d\n", (int)getuid(), (int)getgid());
    printf("folder: %s\n", getcwd(folder, sizeof folder));
    printf("HOME: %s\n", getenv("HOME"));
    printf("account: %s %s\n", user ? user->pw_name : "none", user ? user->pw_dir : "none");
    if (user) writable(user->pw_dir);
    writable("/tmp");
    writable("/");

    setenv("TZ", "America/Sao_Paulo", 1);
    time_t moment = 86400;
    strftime(folder, sizeof folder, "%H:%M %z", localtime(&moment));
    printf("time: %s\n", folder);

    wchar_t wide[8];
    const char *locale = setlocale(LC_ALL, "C.UTF-8");
    printf("locale: %s %d\n", locale ? locale : "none", (int)mbstowcs(wide, "\xc3\xa4\xe2\x82\xac", 8));

    const char *bundle = getenv("SSL_CERT_FILE");
    FILE *file = bundle ? fopen(bundle, "r") : NULL;
    int certificates = 0;
    for (char line[4096]; file && fgets(line, sizeof line, file);) certificates += !strncmp(line, "-----BEGIN", 10);
    printf("certificates: %s\n", certificates > 100 ? "more than 100" : "few");

#ifndef STATIC
    struct group *group = getgrnam("nonroot");
    struct servent *service = getservbyname("https", "tcp");
    printf("group: %d\n", group ? (int)group->gr_gid : -1);
    printf("service: %d\n", service ? (int)((service->s_port & 255) << 8 | service->s_port >> 8) : -1);
    void *tls = dlopen("libssl.so.3", RTLD_NOW);
    if (tls) {
        void *(*method)(void) = (void *(*)(void))dlsym(tls, "TLS_client_method");
        void *(*context)(void *) = (void *(*)(void *))dlsym(tls, "SSL_CTX_new");
        int (*load)(void *, const char *) = (int (*)(void *, const char *))dlsym(tls, "SSL_CTX_load_verify_file");
        printf("OpenSSL: %s\n", load(context(method()), bundle) == 1 ? "takes the bundle" : "refuses the bundle");
    } else {
        printf("OpenSSL: none\n");
    }
#endif
    for (int at = 1; at < count; at++) printf("argument: %s\n", arguments[at]);
    return 0;
}
