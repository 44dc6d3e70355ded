// How much of its time the packet loop had something to do: how near the generator is to its own
// limit. One thread.
#pragma once

#include <cstdint>

namespace penstock::load {

class WorkMeter {
 public:
  // Times are of the time stamp counter.
  void begin(uint64_t now) {
    began_ = turn_began_ = now;
    busy_ = 0;
    worked_ = false;
  }
  // In the turn that runs there was something to do.
  void note_work() { worked_ = true; }
  void end_turn(uint64_t now) {
    if (worked_) busy_ += now - turn_began_;
    worked_ = false;
    turn_began_ = now;
  }
  // Of the time from begin() to the last end_turn(), 0 to 1: that of turns with something to do.
  [[nodiscard]] double share() const {
    const uint64_t all = turn_began_ - began_;
    return all == 0 ? 0 : static_cast<double>(busy_) / static_cast<double>(all);
  }

 private:
  uint64_t began_ = 0, turn_began_ = 0, busy_ = 0;
  bool worked_ = false;
};

}  // namespace penstock::load
