#include "gateway/app/service_manager.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tests/unit/driver/socket_client.h"

namespace penstock::app {
namespace {

TEST(InstanceLock, second_holder_is_refused_until_first_lets_go) {
  const TemporaryDirectory directory;
  const std::string path = directory.path() + "/run/control.sock.lock";
  {
    const auto first = InstanceLock::take(path);
    ASSERT_TRUE(first.ok()) << first.error().text;
    const auto second = InstanceLock::take(path);
    ASSERT_FALSE(second.ok());
    EXPECT_NE(second.error().text.find("process " + std::to_string(getpid())), std::string::npos)
        << second.error().text;
  }
  EXPECT_TRUE(InstanceLock::take(path).ok());
}

TEST(InstanceLock, holder_that_was_killed_leaves_nothing_behind) {
  const TemporaryDirectory directory;
  const std::string path = directory.path() + "/lock";
  const pid_t child = fork();
  if (child == 0) {
    const auto held = InstanceLock::take(path);
    kill(getpid(), held.ok() ? SIGKILL : SIGTERM);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_EQ(WTERMSIG(status), SIGKILL);
  EXPECT_TRUE(InstanceLock::take(path).ok());
}

TEST(InstanceLock, symbolic_link_in_its_place_is_not_followed) {
  const TemporaryDirectory directory;
  const std::string victim = directory.path() + "/victim", path = directory.path() + "/lock";
  { std::ofstream(victim) << "precious"; }
  ASSERT_EQ(symlink(victim.c_str(), path.c_str()), 0);
  EXPECT_FALSE(InstanceLock::take(path).ok());
  EXPECT_EQ(std::filesystem::file_size(victim), 8U);
}

TEST(InstanceLock, other_users_cannot_open_it_and_so_not_hold_it) {
  const TemporaryDirectory directory;
  const std::string path = directory.path() + "/lock";
  ASSERT_TRUE(InstanceLock::take(path).ok());
  EXPECT_EQ(std::filesystem::status(path).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

TEST(NotifyServiceManager, ready_is_sent_to_the_named_socket_and_nowhere_without_one) {
  const TemporaryDirectory directory;
  for (const bool abstract : {false, true}) {
    const std::string path = directory.path() + "/notify";
    sockaddr_un address = SocketClient::address_of(path);
    if (abstract) address.sun_path[0] = '\0';
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
    const FileDescriptor manager(socket(AF_UNIX, SOCK_DGRAM, 0));
    ASSERT_EQ(bind(manager.get(), reinterpret_cast<const sockaddr*>(&address), size), 0);
    setenv("NOTIFY_SOCKET", (abstract ? "@" + path.substr(1) : path).c_str(), 1);
    notify_service_manager("READY=1");
    char text[64];
    const ssize_t length = recv(manager.get(), text, sizeof text, MSG_DONTWAIT);
    ASSERT_GT(length, 0);
    EXPECT_EQ(std::string(text, static_cast<size_t>(length)), "READY=1");
    unsetenv("NOTIFY_SOCKET");
    notify_service_manager("READY=1");
    EXPECT_LT(recv(manager.get(), text, sizeof text, MSG_DONTWAIT), 0);
  }
}

}  // namespace
}  // namespace penstock::app
