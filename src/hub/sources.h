// The sources one by one, for hub_source.cpp alone, which picks among them.
#pragma once

#include "hub/hub_source.h"

namespace chaski {

std::unique_ptr<HubSource> make_modelscope(const RepoAddress& repo, const HubAccess& access);
std::unique_ptr<HubSource> make_huggingface(const RepoAddress& repo, const HubAccess& access);
std::unique_ptr<HubSource> make_openmind(const RepoAddress& repo, const HubAccess& access);
std::unique_ptr<HubSource> make_ollama(const RepoAddress& repo, const HubAccess& access);
std::unique_ptr<HubSource> make_git(const RepoAddress& repo, const HubAccess& access);
std::unique_ptr<HubSource> make_plain_url(const RepoAddress& repo, const HubAccess& access);

}  // namespace chaski
