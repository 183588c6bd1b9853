// When looking again before sleeping is worth trying.
#include "tensorwire/spin.hpp"

#include <gtest/gtest.h>

namespace tensorwire {
namespace {

int TriedOf(Spin& spin, int waits, bool found) {
  int tried = 0;
  for (int i = 0; i < waits; ++i) {
    if (!spin.worth_trying()) continue;
    ++tried;
    spin.note(found);
  }
  return tried;
}

TEST(Spin, GoesOnAsLongAsItFinds) {
  Spin spin;
  EXPECT_EQ(TriedOf(spin, 1000, true), 1000);
}

TEST(Spin, VainTriesBecomeRare) {
  Spin spin;
  EXPECT_LT(TriedOf(spin, 1000, false), 50);
}

TEST(Spin, OneFindBringsItBack) {
  Spin spin;
  (void)TriedOf(spin, 1000, false);
  EXPECT_GT(TriedOf(spin, 100, true), 60);
}

}  // namespace
}  // namespace tensorwire
